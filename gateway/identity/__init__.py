"""Who asks, and how that is proved."""
