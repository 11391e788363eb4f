"""New UVs: charts that lie flat without much stretch, packed into one texture."""
