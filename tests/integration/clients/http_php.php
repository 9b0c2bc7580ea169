<?php
// usage: http_php.php LIBRARY URL SCRIPT: makes the script's requests with streams or the curl extension.
[, $library, $url, $script] = $argv;

function with_streams(string $url, string $method, string $target, ?string $body): array
{
    $options = ['method' => $method, 'ignore_errors' => true, 'protocol_version' => 1.1,
        'header' => "Connection: close\r\nContent-Type: text/plain\r\n", 'content' => $body ?? ''];
    $answer = file_get_contents($url . $target, false, stream_context_create(['http' => $options]));
    $statuses = preg_grep('/^HTTP/', $http_response_header);
    return [explode(' ', end($statuses))[1], strlen($answer)];
}

function with_curl(string $url, string $method, string $target, ?string $body): array
{
    static $curl = null;
    $curl ??= curl_init();
    curl_reset($curl);
    curl_setopt_array($curl, [CURLOPT_URL => $url . $target, CURLOPT_RETURNTRANSFER => true,
        CURLOPT_FOLLOWLOCATION => true, CURLOPT_CUSTOMREQUEST => $method, CURLOPT_NOBODY => $method === 'HEAD',
        CURLOPT_PROXY => '']);
    if (getenv('TEST_CERTIFICATE')) {
        curl_setopt($curl, CURLOPT_CAINFO, getenv('TEST_CERTIFICATE'));
    }
    if ($body !== null) {
        curl_setopt($curl, CURLOPT_POSTFIELDS, $body);
    }
    $answer = curl_exec($curl);
    return [curl_getinfo($curl, CURLINFO_RESPONSE_CODE), strlen((string) $answer)];
}

foreach (file($script, FILE_IGNORE_NEW_LINES) as $line) {
    [$method, $target, $size] = explode(' ', $line);
    [$status, $length] = "with_$library"($url, $method, $target, $size === '0' ? null : str_repeat('x', (int) $size));
    echo "$method $target $status $length\n";
}
