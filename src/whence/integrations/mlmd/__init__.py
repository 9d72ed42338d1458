"""ML Metadata's clients on whence's graph: its wire format, its service, and its `MetadataStore` in process."""
