<?php
echo 'app ', $_SERVER['REQUEST_METHOD'], ' ', $_SERVER['REQUEST_URI'];
