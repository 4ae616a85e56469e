"""Networks that outline things, for kerascnn: FCN and U-Net, exact to their papers.

- `fcn`, `fcn_resnet`, `unet`: one paper, one file; `papers`: how they were trained;
- `task`: Segmentation, with its `losses`, its `measures`, and `counting`, which makes an objective
  of both;
- `answering`: masks of photos, of any size by `tiles`; `writing` and `figures`: where these and an
  evaluation's figures go; `pictures`: how they are drawn;
- `masks`: the source `masks:PATH`.
"""
