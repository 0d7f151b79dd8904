;; A module that tries every map call in every phase and logs what each answered.
;;
;; A line is `probe PHASE REQUEST RESPONSE PROPERTY`: for each of the two header maps the answers to reading all,
;; reading one that is there, reading one that is not, adding, replacing and removing, each one digit; then the answer
;; to setting a property. A request with the header `x-reply` is answered by the module itself.
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $value (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $set (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))

  (memory (export "memory") 4)
  (data (i32.const 16) "probe P RRRRRR AAAAAA S")
  (data (i32.const 64) "x-there")
  (data (i32.const 80) "x-none")
  (data (i32.const 96) "x-probe")
  (data (i32.const 112) "x-reply")
  (data (i32.const 128) "v")
  (global $next (mut i32) (i32.const 65536))

  ;; The host takes memory here for what it gives us; each callback starts anew.
  (func (export "malloc") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $next))
    (global.set $next (i32.add (global.get $next) (local.get $size)))
    (local.get $at))

  (func $digit (param $at i32) (param $status i32)
    (i32.store8 (local.get $at) (i32.add (i32.const 48) (local.get $status))))

  (func $map (param $map i32) (param $at i32)
    (call $digit (local.get $at) (call $pairs (local.get $map) (i32.const 0) (i32.const 4)))
    (call $digit (i32.add (local.get $at) (i32.const 1))
      (call $value (local.get $map) (i32.const 64) (i32.const 7) (i32.const 0) (i32.const 4)))
    (call $digit (i32.add (local.get $at) (i32.const 2))
      (call $value (local.get $map) (i32.const 80) (i32.const 6) (i32.const 0) (i32.const 4)))
    (call $digit (i32.add (local.get $at) (i32.const 3))
      (call $add (local.get $map) (i32.const 96) (i32.const 7) (i32.const 128) (i32.const 1)))
    (call $digit (i32.add (local.get $at) (i32.const 4))
      (call $replace (local.get $map) (i32.const 96) (i32.const 7) (i32.const 128) (i32.const 1)))
    (call $digit (i32.add (local.get $at) (i32.const 5))
      (call $remove (local.get $map) (i32.const 96) (i32.const 7))))

  (func $probe (param $phase i32)
    (global.set $next (i32.const 65536))
    (i32.store8 (i32.const 22) (local.get $phase))
    (call $map (i32.const 0) (i32.const 24))
    (call $map (i32.const 2) (i32.const 31))
    (call $digit (i32.const 38) (call $set (i32.const 128) (i32.const 1) (i32.const 128) (i32.const 1)))
    (drop (call $log (i32.const 2) (i32.const 16) (i32.const 23))))

  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_context_create") (param i32 i32)
    ;; Of a stream only: a root context has no parent.
    (if (local.get 1) (then (call $probe (i32.const 67)))))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (call $probe (i32.const 81))
    (if (i32.eqz (call $value (i32.const 0) (i32.const 112) (i32.const 7) (i32.const 0) (i32.const 4)))
      (then
        (drop (call $reply (i32.const 418) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
          (i32.const 0) (i32.const 0) (i32.const -1)))
        (return (i32.const 1))))
    (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (call $probe (i32.const 65))
    (i32.const 0))
  (func (export "proxy_on_done") (param i32) (result i32)
    (call $probe (i32.const 68))
    (i32.const 1))
  (func (export "proxy_on_log") (param i32) (call $probe (i32.const 76)))
  (func (export "proxy_on_delete") (param i32) (call $probe (i32.const 88))))
