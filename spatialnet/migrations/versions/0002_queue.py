"""Jobs that queue by priority, pause, and remember into how many parts they cut a step."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns; jobs of before have waited since they were made."""
    op.add_column("jobs", sa.Column("queued_at", sa.Float, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("device", sa.String(20), nullable=True))
    op.add_column("jobs", sa.Column("parts", sa.Integer, nullable=False, server_default="1"))
    op.add_column("jobs", sa.Column("pause_requested", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute("UPDATE jobs SET queued_at = created_at")


def downgrade() -> None:
    """Take the columns away; a paused job is then a cancelled one, which can be resumed too."""
    op.execute("UPDATE jobs SET state = 'cancelled', active_key = NULL WHERE state = 'paused'")
    with op.batch_alter_table("jobs") as table:
        for name in ("queued_at", "priority", "device", "parts", "pause_requested"):
            table.drop_column(name)
