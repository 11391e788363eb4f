"""Do the programs that exports are for read them as they are meant? scripts/test-interop."""

import pytest

pytest.register_assert_rewrite(*(f"interop.{name}" for name in ("browser", "geometry", "pictures", "programs")))
