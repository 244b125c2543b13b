"""Graph networks whose stored features, attention, messages and weights switch their bits at run time.

After Feng et al., "SGQuant: Squeezing the Last Bit on Graph Neural Networks with Specialized Quantization", ICTAI 2020
(arXiv 2007.05100).
"""
