"""Data to pictures: SVG, HTML and text, pure and without dependencies."""

from whence.drawing.charts import bar_chart, calibration_plot, histogram, line_chart
from whence.drawing.html import fact_list, html_table, join_html, page, paragraph
from whence.drawing.text import text_table, text_tree
from whence.drawing.tree import tree_chart
from whence.drawing.types import Bin, Branch, Html, Mark, Section, Series, Threshold

__all__ = [
    "Bin",
    "Branch",
    "Html",
    "Mark",
    "Section",
    "Series",
    "Threshold",
    "bar_chart",
    "calibration_plot",
    "fact_list",
    "histogram",
    "html_table",
    "join_html",
    "line_chart",
    "page",
    "paragraph",
    "text_table",
    "text_tree",
    "tree_chart",
]
