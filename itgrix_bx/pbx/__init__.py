"""The PBX itself, beside its dialplan: what it recorded of its calls."""
