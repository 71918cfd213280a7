"""`dts doctor`: what is looked at, and what is said of it. The engines' own looks lie beside their adapters."""
