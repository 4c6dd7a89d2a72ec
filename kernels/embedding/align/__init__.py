"""Two modalities brought into one space by contrastive learning, and what that space is worth (P2, P3)."""
