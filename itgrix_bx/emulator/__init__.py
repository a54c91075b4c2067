"""Doubles of the parts that cannot be had for a demo or a test: the Bitrix24 cloud and Asterisk."""
