"""Networks whose one-bit layers are packed signs: run by XNOR, popcount and integer limits, kept in small files."""
