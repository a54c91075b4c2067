"""Delivery to the portal in the background: register late, finish, then the recording; and the cards."""
