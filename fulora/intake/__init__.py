"""From the outside in: public data sets, hospital folders and phantoms become curated image sets."""
