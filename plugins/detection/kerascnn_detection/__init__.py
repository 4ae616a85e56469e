"""What networks that find things are made of, for kerascnn: from R-CNN to YOLO.

One idea, one file; all of it public:

- `boxes`: the format, IoU, codes, clipping; `matching`: which anchor learns which object;
  `sampling`: which of them a step learns from; `nms`: which boxes stay;
- `anchors` and `proposals`: where a region proposal network begins, and what it ends with;
- `selective_search`: windows from the image alone, without a network;
- `warping`: a picture of each window, and many of them as one batch;
- `regions`: pooling and alignment, layers that make a small map of each box; `cells`: YOLO's grid;
- `rounding`: cells and parts, the same however a graph is compiled;
- `task`: Detection, what all networks here are trained for; `counting`: what is minimised and
  counted of any of them;
- `stages` and `one_stage`: the layers that choose boxes, and what YOLO's cells learn;
- `faster_rcnn`: Faster R-CNN, and the head of Fast R-CNN; `faster_rcnn_c4`: the last stage of a
  ResNet as the head; `pyramid`: maps for objects of all sizes, and `faster_rcnn_fpn`: the network
  on them; `yolo`: the networks of YOLO's paper;
- `lessons`: what a step teaches; `losses`: what is minimised; `training`: the graph of a step of a
  two-stage network, and `two_stage`: its losses; `average_precision`: what answers are worth;
- `answering`: boxes in photos of any size; `writing` and `figures`: where these and an evaluation's
  figures go; `pictures`: how they are drawn; `explaining`: what is explained of a detector;
  `exporting`: what a file of it answers, and how that is compared;
- `rcnn`, `sppnet` and `fast_rcnn`: the networks that look at windows; `svm`: the last step of the
  first two, and `commands`: `kerascnn svm`, which is that;
- `papers` and `papers_windows`: how the papers trained; `saved`: all layers that a saved model may
  name.
"""
