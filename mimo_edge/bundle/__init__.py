"""What a bundle's files must be like, looked at before any native library sees them."""
