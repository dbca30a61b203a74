"""What speaks to a PACS."""
