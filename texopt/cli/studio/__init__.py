"""`texopt studio`: a page on which meshes are styled without a command.

The page is gradio's; what it shows, starts and keeps is here, and imports no gradio but in `page` and `server`.
"""
