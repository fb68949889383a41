"""What the box endures: power cuts at any moment (``make torture``), and a long evening (``make soak``)."""
