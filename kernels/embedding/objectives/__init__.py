"""What training minimises, one file for each family. Each function takes tensors and gives ``{"loss": ..., ...}``."""
