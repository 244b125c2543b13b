"""HotSpot's input files, and the thermal network that its block model makes of them.

HotSpot: Skadron et al., "Temperature-Aware Microarchitecture", ISCA 2003; Huang et al., "Compact Thermal Modeling for
Temperature-Aware Design", DAC 2004 (github.com/uvahotspot/HotSpot). Nothing of its code is used.
"""
