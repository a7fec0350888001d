"""How mimo_edge gets onto other machines: wheels for a platform, an image for the server."""
