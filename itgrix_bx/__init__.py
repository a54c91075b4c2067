"""itgrix-bx: the link between an Asterisk phone system and the Bitrix24 CRM."""
