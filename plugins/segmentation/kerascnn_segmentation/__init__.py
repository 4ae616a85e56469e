"""Networks that outline things, for kerascnn: FCN and U-Net, exact to their papers."""
