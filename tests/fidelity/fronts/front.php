<?php
// A router for `php -S`: the calls of a request by curl and by phpredis, one after the other.
[, , $name, , $count] = explode('/', $_SERVER['REQUEST_URI']);
$store = new Redis();
$store->connect('127.0.0.1', (int) getenv('TEST_REDIS'));
for ($number = 0; $number < (int) $count; $number++) {
    $store->get("id:$name:$number");
    $call = curl_init(getenv('TEST_PEER') . "/c/$name/$number");
    curl_setopt($call, CURLOPT_RETURNTRANSFER, true);
    assert(curl_exec($call) !== false);
}
echo $name;
