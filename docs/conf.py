"""How the pages are built: MyST, furo, nothing from the network, every warning an error."""

import sys
from pathlib import Path

from whence import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "whence"
author = "the whence authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "whence_reference"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = False
# The builtin `type` in a signature is looked for among our attributes of that name, of which there are several.
suppress_warnings = ["ref.python"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# The sections of our docstrings beyond Google's own.
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Records", "notes_style"), ("Source", "notes_style")]
napoleon_use_rtype = False
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"show-inheritance": True}
default_role = "code"

html_theme = "furo"
html_title = f"whence {version}"
html_static_path: list[str] = []
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
