"""Small model YAMLs, each written in a way that a YOLOv5 YAML somewhere is written."""

HEAD = "nc: 4\ndepth_multiple: 0.33\nwidth_multiple: 0.5\nanchors: 3\n"

PLAIN = (
    "# first line\n\n"
    + HEAD
    + """
# YOLOv5 v6.0 backbone
backbone:
  # [from, number, module, args]
  [[-1, 1, Conv, [64, 6, 2, 2]],  # 0-P1/2
   [-1, 1, Conv, [128, 3, 2]],  # 1-P2/4
   [-1, 3, C3, [128]],
   [-1, 1, Conv, [256, 3, 2]],  # 3-P3/8
   [-1, 6, C3, [256]],
   [-1, 1, SPPF, [256, 5]],  # 5
  ]

head:
  [[-1, 1, Conv, [128, 1, 1]],
   [-1, 1, nn.Upsample, [None, 2, 'nearest']],
   [[-1, 2], 1, Concat, [1]],  # cat backbone P2
   [-1, 3, C3, [128, False]],  # 9 (P2/4-small)

   [-1, 1, Conv, [128, 3, 2]],
   [[-1, 6], 1, Concat, [1]],  # cat head P3
   [-1, 3, C3, [256, False]],  # 12 (P3/8-large)

   [[9, 12], 1, Detect, [nc, anchors]],  # Detect(P2, P3)
  ]
"""
)

# the tiny one of the yolov3 family: froms that count back over two layers, a Detect that reads upwards
TINY = (
    HEAD
    + """
backbone:
  [[-1, 1, Conv, [16, 3, 1]],  # 0
   [-1, 1, nn.MaxPool2d, [2, 2, 0]],  # 1-P1/2
   [-1, 1, Conv, [32, 3, 1]],
   [-1, 1, nn.MaxPool2d, [2, 2, 0]],  # 3-P2/4
   [-1, 1, Conv, [64, 3, 1]],
   [-1, 1, nn.MaxPool2d, [2, 2, 0]],  # 5-P3/8
   [-1, 1, Conv, [64, 3, 1]],
   [-1, 1, nn.ZeroPad2d, [[0, 1, 0, 1]]],  # 7
   [-1, 1, nn.MaxPool2d, [2, 1, 0]],  # 8
  ]

head:
  [[-1, 1, Conv, [64, 1, 1]],
   [-1, 1, Conv, [128, 3, 1]],  # 10 (P3/8-large)

   [-2, 1, Conv, [64, 1, 1]],
   [-1, 1, nn.Upsample, [None, 2, 'nearest']],
   [[-1, 4], 1, Concat, [1]],  # cat backbone P2
   [-1, 1, Conv, [64, 3, 1]],  # 14 (P2/4-medium)

   [[14, 10], 1, Detect, [nc, anchors]],  # Detect(P2, P3)
  ]
"""
)

# yolov3: Bottleneck in the place of C3, repeated side by side; formatted as newer files are
BOTTLENECKS = (
    HEAD
    + """
backbone:
  # [from, number, module, args]
  [
    [-1, 1, Conv, [32, 3, 2]], # 0
    [-1, 1, Conv, [64, 3, 2]], # 1-P2/4
    [-1, 2, Bottleneck, [64]],
    [-1, 1, Conv, [128, 3, 2]], # 3-P3/8
    [-1, 8, Bottleneck, [128]],
  ]

head: [
    [-1, 1, Bottleneck, [128, False]],
    [-1, 1, Conv, [128, 1, 1]],
    [-1, 1, Conv, [256, 3, 1]], # 7 (P3/8-large)

    [-2, 1, Conv, [64, 1, 1]],
    [-1, 1, nn.Upsample, [None, 2, "nearest"]],
    [[-1, 2], 1, Concat, [1]], # cat backbone P2
    [-1, 1, Bottleneck, [64, False]],
    [[11, -5], 1, Detect, [nc, anchors]], # Detect(P2, P3)
  ]
"""
)

# three maps joined (bifpn), transformer and ghost blocks, brackets closed in place, stale numbers in comments
THREE_WAYS = (
    HEAD
    + """activation: nn.LeakyReLU(0.1)
backbone:
  [[-1, 1, Focus, [64, 3]],  # 0-P1/2
   [-1, 1, GhostConv, [128, 3, 2]],  # 1-P2/4
   [-1, 3, C3Ghost, [128]],  # 2 bottlenecks of ghosts
   [-1, 1, Conv, [256, 3, 2]],  # 2-P3/8
   [-1, 1, SPP, [256, [5, 9, 13]]],
   [-1, 3, C3TR, [256]],  # 9 <-- transformer
  ]
head:
  [[-1, 1, Conv, [128, 1, 1]],
   [-1, 1, nn.Upsample, [None, 2, 'nearest']],
   [[-1, 2], 1, Concat, [1]],
   [-1, 3, BottleneckCSP, [128, False]],  # 17 (P2/4-small)
   [-1, 1, Conv, [128, 3, 2]],
   [[-1, 6, -6], 1, Concat, [1]],  # cat P3 <-- three
   [-1, 3, C3x, [256, False]],
   [[9, 12], 1, Detect, [nc, anchors]]]  # Detect
"""
)

# lists with dashes; several rows on one line; a row over two lines; no comments, no comma behind the last
DASHES = (
    HEAD
    + """backbone:
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, Conv, [128, 3, 2]]  # 1-P2/4
  - [-1, 3, C3, [128]]
  - - -1
    - 1
    - Conv
    - - 256
      - 3
      - 2
  - [-1, 3, C3, [256]]

head:
- - -1
  - 3
  - C3
  - [256, False]
- - [2, 5]
  - 1
  - Detect
  - [nc, anchors]
"""
)

CROWDED = (
    HEAD
    + """backbone: [[-1, 1, Conv, [64, 3, 2]], [-1, 1, Conv, [128, 3, 2]], # the stem
  [-1, 3, C3, [128]], [-1, 1, Conv, [256, 3, 2]],
  [-1,
   3, C3, [256]]
  ]
head: [[-1, 3, C3, [256,
   False]], [[2, 5], 1, Detect, [nc, anchors]]]
"""
)

TEXTS = {
    "plain": PLAIN,
    "tiny": TINY,
    "bottlenecks": BOTTLENECKS,
    "three ways": THREE_WAYS,
    "dashes": DASHES,
    "crowded": CROWDED,
}
