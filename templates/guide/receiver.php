<?php
// A receiver: CALAPP_SECRET=whsec_… php -S 127.0.0.1:4000 receiver.php
$secret = getenv('CALAPP_SECRET');
$key = str_starts_with($secret, 'whsec_') ? base64_decode(substr($secret, 6)) : $secret;
$body = file_get_contents('php://input'); // the raw bytes
$stamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
$content = ($_SERVER['HTTP_WEBHOOK_ID'] ?? '') . ".$stamp.$body";
$expected = 'v1,' . base64_encode(hash_hmac('sha256', $content, $key, true));

$signed = false;
foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $one) {
    $signed = $signed || hash_equals($expected, $one);
}
if (!$signed || abs(time() - (int) $stamp) > 300) {
    http_response_code(400);
    exit("The signature is wrong.\n");
}
// To check only X-Cal-Signature-256: the hex HMAC of the body with the secret as it is.
// $signed = hash_equals(hash_hmac('sha256', $body, $secret), $_SERVER['HTTP_X_CAL_SIGNATURE_256'] ?? '');

$event = json_decode($body, true);
error_log($event['triggerEvent'] . ' ' . ($event['payload']['metadata']['user_id'] ?? ''));
http_response_code(204);
