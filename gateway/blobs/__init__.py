"""Where sealed bytes lie: small stores that know nothing of what is in them."""
