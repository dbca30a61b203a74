"""What judges an instance before it leaves."""
