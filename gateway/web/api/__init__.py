"""The description of the API, from what the handlers read and answer."""
