<?php
usleep(1000 * (int) ($_GET['ms'] ?? 0));
echo json_encode(['instance' => getenv('NODE_APP_INSTANCE'), 'pid' => getmypid()]);
