"""A network as a picture, derived from its profile alone, so for any functional model.

`reader` reads the profile as `units` and blocks, and `outline` folds these into stages and heads;
`page` lays them out, with `panels` for unfolded blocks. `pen` draws with Matplotlib, without pyplot
and its global state. All this knows no Network, which shows its own page in notebooks; `networks`
takes what users have, and `fields` shows what a unit sees.
"""
