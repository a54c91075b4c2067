"""The phone system beside its dialplan: what Asterisk says of its calls and what it recorded of them."""
