"""What the gateway tells those outside by itself: metrics."""
