"""The only room that knows aiohttp. Handlers parse, call and render; no rule of a protocol lives here."""
