"""The phone system beside its dialplan: what Asterisk itself says of its calls."""
