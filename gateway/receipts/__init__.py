"""The signed proof of what a PACS took."""
