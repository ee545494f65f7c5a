<?php
require 'index.php';
