"""What there is to look at: pictures, videos, the viewer page, the live page."""
