"""Images, spectra and X-ray events to model input, as pure functions on arrays, with their inverses.

:mod:`~kernels.preprocess.images` (P0.1), :mod:`~kernels.preprocess.spectra` (P0.2, P0.3, P1.1),
:mod:`~kernels.preprocess.xray` (P3.1).
"""
