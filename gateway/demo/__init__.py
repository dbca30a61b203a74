"""What `relaypacs demo` brings along so that there is nothing to configure."""
