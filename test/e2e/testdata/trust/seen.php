<?php
// What the app sees of headers that are nobody's standard; those of the proxy itself left out.
echo json_encode(array_filter($_SERVER, static fn (string $name): bool => preg_match('/^HTTP_X_(?!FORWARDED)/', $name) === 1, ARRAY_FILTER_USE_KEY));
