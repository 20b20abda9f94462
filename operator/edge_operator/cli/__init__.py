"""``kubectl edgemodel``: what a person asks and tells at a terminal, through kubectl and with their own rights."""
