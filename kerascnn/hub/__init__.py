"""Runs on the Hugging Face hub: `kerascnn push RUN REPO`, and `kerascnn.load("hf://owner/name")`.

A repository has a run's config.json and metrics.json, its weights as model.safetensors, and a
README.md. `address` reads names, `pushing` uploads, with the text of `model_card`; `loading`
fetches, and makes a run directory of what it has checked. Nothing in a repository is executed, and
no pickle and no `.keras` file of one is read.
"""
