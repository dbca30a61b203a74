"""Uploads and their files: opened, filled, completed, looked at, cancelled."""
