"""`gateway demo`: a simulated shop whose visitors send events, and a board to watch them."""
