"""Steps that join a survey and kernels."""
