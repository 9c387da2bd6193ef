"""Curves of transfer against queries: the measured table, the forms, the fit with its band, the page that shows them."""
