BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE api_key (
	id INTEGER NOT NULL, 
	user_id INTEGER NOT NULL, 
	name VARCHAR(100) NOT NULL, 
	key_hash VARCHAR(64) NOT NULL, 
	hint VARCHAR(12) NOT NULL, 
	scopes JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	last_used_at DATETIME, 
	revoked_at DATETIME, 
	CONSTRAINT pk_api_key PRIMARY KEY (id), 
	CONSTRAINT fk_api_key_user_id_user FOREIGN KEY(user_id) REFERENCES user (id), 
	CONSTRAINT uq_api_key_key_hash UNIQUE (key_hash)
);
INSERT INTO "api_key" VALUES(1,1,'Script','35f1416652d326972d17c08a0a8c8326533a3d30fc848e827829dacbfa8aa91c','cal_MKCL','["read", "write"]','2027-01-04 07:02:00.962942',NULL,NULL);
CREATE TABLE attempt (
	id INTEGER NOT NULL, 
	delivery_id INTEGER NOT NULL, 
	webhook_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	manual BOOLEAN NOT NULL, 
	status INTEGER, 
	failure_code VARCHAR(40), 
	failure TEXT, 
	name_ms DOUBLE, 
	connect_ms DOUBLE, 
	tls_ms DOUBLE, 
	first_byte_ms DOUBLE, 
	total_ms DOUBLE, 
	response_headers TEXT NOT NULL, 
	response_body TEXT NOT NULL, 
	CONSTRAINT pk_attempt PRIMARY KEY (id), 
	CONSTRAINT fk_attempt_delivery_id_delivery FOREIGN KEY(delivery_id) REFERENCES delivery (id) ON DELETE CASCADE
);
INSERT INTO "attempt" VALUES(1,1,2,1,'2027-01-04 07:00:00.743215',0,200,NULL,NULL,0.046,0.991,0.0,1.841,3.006,'HTTP/1.1 200 OK
Content-Length: 6','thanks');
INSERT INTO "attempt" VALUES(2,2,3,1,'2027-01-04 07:00:00.743215',0,200,NULL,NULL,0.018,0.421,0.0,2.613,3.126,'HTTP/1.1 200 OK
Content-Length: 6','thanks');
INSERT INTO "attempt" VALUES(3,3,4,1,'2027-01-04 07:00:00.743215',0,410,'gone','The server answered 410 Gone: it wants no more events.',0.014,0.286,0.0,2.968,3.34,'HTTP/1.1 410 Gone
Content-Length: 6','thanks');
INSERT INTO "attempt" VALUES(4,4,2,1,'2027-01-04 07:01:00.802191',0,500,'status','The server answered 500 Internal Server Error. Its own log says why.',0.0,0.0,0.0,0.212,0.347,'HTTP/1.1 500 Internal Server Error
Content-Length: 6','thanks');
INSERT INTO "attempt" VALUES(5,5,3,1,'2027-01-04 07:01:00.802191',0,500,'status','The server answered 500 Internal Server Error. Its own log says why.',0.0,0.0,0.0,1.538,1.596,'HTTP/1.1 500 Internal Server Error
Content-Length: 6','thanks');
CREATE TABLE attendee (
	id INTEGER NOT NULL, 
	booking_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	email VARCHAR(254) NOT NULL, 
	time_zone VARCHAR(64) NOT NULL, 
	no_show BOOLEAN NOT NULL, 
	CONSTRAINT pk_attendee PRIMARY KEY (id), 
	CONSTRAINT fk_attendee_booking_id_booking FOREIGN KEY(booking_id) REFERENCES booking (id) ON DELETE CASCADE
);
INSERT INTO "attendee" VALUES(1,1,0,'Ada Byron','ada@example.com','Europe/London',0);
INSERT INTO "attendee" VALUES(2,1,1,'guest@example.com','guest@example.com','Europe/London',0);
INSERT INTO "attendee" VALUES(3,2,0,'Bob Byron','bob@example.com','Europe/London',0);
INSERT INTO "attendee" VALUES(4,2,1,'guest@example.com','guest@example.com','Europe/London',0);
INSERT INTO "attendee" VALUES(5,3,0,'Cyd Byron','cyd@example.com','Europe/London',0);
INSERT INTO "attendee" VALUES(6,3,1,'guest@example.com','guest@example.com','Europe/London',0);
INSERT INTO "attendee" VALUES(7,4,0,'Dan Byron','dan@example.com','Europe/London',0);
INSERT INTO "attendee" VALUES(8,4,1,'guest@example.com','guest@example.com','Europe/London',0);
INSERT INTO "attendee" VALUES(9,5,0,'Eve Byron','eve@example.com','Europe/London',0);
INSERT INTO "attendee" VALUES(10,5,1,'guest@example.com','guest@example.com','Europe/London',0);
INSERT INTO "attendee" VALUES(11,6,0,'Eve Byron','eve@example.com','Europe/London',0);
INSERT INTO "attendee" VALUES(12,6,1,'guest@example.com','guest@example.com','Europe/London',0);
INSERT INTO "attendee" VALUES(13,7,0,'Fay Byron','fay@example.com','Europe/London',0);
INSERT INTO "attendee" VALUES(14,7,1,'guest@example.com','guest@example.com','Europe/London',0);
CREATE TABLE booking (
	id INTEGER NOT NULL, 
	uid VARCHAR(40) NOT NULL, 
	host_id INTEGER NOT NULL, 
	event_type_id INTEGER NOT NULL, 
	status VARCHAR(12) NOT NULL, 
	title VARCHAR(300) NOT NULL, 
	starts_at DATETIME NOT NULL, 
	ends_at DATETIME NOT NULL, 
	time_zone VARCHAR(64) NOT NULL, 
	location VARCHAR(500) NOT NULL, 
	notes TEXT NOT NULL, 
	answers JSON NOT NULL, 
	metadata JSON NOT NULL, 
	metadata_left_out JSON NOT NULL, 
	search TEXT NOT NULL, 
	attempt VARCHAR(64), 
	chain VARCHAR(40) NOT NULL, 
	sequence INTEGER NOT NULL, 
	ical_sequence INTEGER NOT NULL, 
	rescheduled_from_id INTEGER, 
	rescheduled_to_uid VARCHAR(40), 
	rescheduled_by VARCHAR(254), 
	rescheduling_reason TEXT, 
	cancellation_reason TEXT, 
	cancelled_by VARCHAR(254), 
	rejection_reason TEXT, 
	started_at DATETIME, 
	ended_at DATETIME, 
	erased_at DATETIME, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_booking PRIMARY KEY (id), 
	CONSTRAINT fk_booking_event_type_id_event_type FOREIGN KEY(event_type_id) REFERENCES event_type (id), 
	CONSTRAINT fk_booking_host_id_user FOREIGN KEY(host_id) REFERENCES user (id), 
	CONSTRAINT fk_booking_rescheduled_from_id_booking FOREIGN KEY(rescheduled_from_id) REFERENCES booking (id), 
	CONSTRAINT uq_booking_attempt UNIQUE (attempt), 
	CONSTRAINT uq_booking_uid UNIQUE (uid)
);
INSERT INTO "booking" VALUES(1,'r04QH_0Pnzz8HoDivseztw',1,1,'accepted','Quick chat between Rick and Ada Byron','2027-01-05 10:00:00.000000','2027-01-05 10:15:00.000000','Europe/London','','From Ada','{}','{"user_id": "ada"}','["metadata[bad key]: a key has 1 to 40 characters of A-Z a-z 0-9 _ . -"]','ada byron
ada@example.com
guest@example.com
guest@example.com
quick chat between rick and ada byron
r04qh_0pnzz8hodivseztw
ada',NULL,'r04QH_0Pnzz8HoDivseztw',1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2027-01-04 07:00:00.685133','2027-01-04 07:00:00.692360');
INSERT INTO "booking" VALUES(2,'04WLl3B-UMXEfNVsaoj3Qg',1,1,'accepted','Quick chat between Rick and Bob Byron','2027-01-05 11:00:00.000000','2027-01-05 11:15:00.000000','Europe/London','','From Bob','{}','{"user_id": "bob"}','["metadata[bad key]: a key has 1 to 40 characters of A-Z a-z 0-9 _ . -"]','bob byron
bob@example.com
guest@example.com
guest@example.com
quick chat between rick and bob byron
04wll3b-umxefnvsaoj3qg
bob',NULL,'04WLl3B-UMXEfNVsaoj3Qg',1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2027-01-04 07:01:00.777171','2027-01-04 07:01:00.779850');
INSERT INTO "booking" VALUES(3,'REDjIzYhbgH9O4L0qqtL-w',1,1,'accepted','Quick chat between Rick and Cyd Byron','2027-01-05 12:00:00.000000','2027-01-05 12:15:00.000000','Europe/London','','From Cyd','{}','{"user_id": "cyd"}','["metadata[bad key]: a key has 1 to 40 characters of A-Z a-z 0-9 _ . -"]','cyd byron
cyd@example.com
guest@example.com
guest@example.com
quick chat between rick and cyd byron
redjizyhbgh9o4l0qqtl-w
cyd',NULL,'REDjIzYhbgH9O4L0qqtL-w',1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2027-01-04 07:02:00.815386','2027-01-04 07:02:00.817549');
INSERT INTO "booking" VALUES(4,'bK1RR5WPIxlIV1C76RMctQ',1,2,'pending','30 minutes between Rick and Dan Byron','2027-01-06 09:00:00.000000','2027-01-06 09:30:00.000000','Europe/London','','From Dan','{}','{"user_id": "dan"}','["metadata[bad key]: a key has 1 to 40 characters of A-Z a-z 0-9 _ . -"]','dan byron
dan@example.com
guest@example.com
guest@example.com
30 minutes between rick and dan byron
bk1rr5wpixliv1c76rmctq
dan',NULL,'bK1RR5WPIxlIV1C76RMctQ',1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2027-01-04 07:02:00.839485','2027-01-04 07:02:00.841370');
INSERT INTO "booking" VALUES(5,'r1aP7Qg2n82Z2nEjkdH0eg',1,1,'cancelled','Quick chat between Rick and Eve Byron','2027-01-05 14:00:00.000000','2027-01-05 14:15:00.000000','Europe/London','','From Eve','{}','{"user_id": "eve"}','["metadata[bad key]: a key has 1 to 40 characters of A-Z a-z 0-9 _ . -"]','eve byron
eve@example.com
guest@example.com
guest@example.com
quick chat between rick and eve byron
r1ap7qg2n82z2nejkdh0eg
eve',NULL,'r1aP7Qg2n82Z2nEjkdH0eg',1,0,NULL,'c0ufEioVqVvSAfxUMlpSxA','eve@example.com','A conflict',NULL,NULL,NULL,NULL,NULL,NULL,'2027-01-04 07:02:00.860897','2027-01-04 07:02:00.902935');
INSERT INTO "booking" VALUES(6,'c0ufEioVqVvSAfxUMlpSxA',1,1,'accepted','Quick chat between Rick and Eve Byron','2027-01-07 14:00:00.000000','2027-01-07 14:15:00.000000','Europe/London','','From Eve','{}','{"user_id": "eve"}','["metadata[bad key]: a key has 1 to 40 characters of A-Z a-z 0-9 _ . -"]','eve byron
eve@example.com
guest@example.com
guest@example.com
quick chat between rick and eve byron
c0ufeiovqvvsafxumlpsxa
eve',NULL,'r1aP7Qg2n82Z2nEjkdH0eg',2,1,5,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2027-01-04 07:02:00.900286','2027-01-04 07:02:00.903308');
INSERT INTO "booking" VALUES(7,'yCW5aop_zeVzUMtXpeMOzA',1,1,'cancelled','Quick chat between Rick and Fay Byron','2027-01-05 15:00:00.000000','2027-01-05 15:15:00.000000','Europe/London','','From Fay','{}','{"user_id": "fay"}','["metadata[bad key]: a key has 1 to 40 characters of A-Z a-z 0-9 _ . -"]','fay byron
fay@example.com
guest@example.com
guest@example.com
quick chat between rick and fay byron
ycw5aop_zevzumtxpemoza
fay',NULL,'yCW5aop_zeVzUMtXpeMOzA',2,1,NULL,NULL,NULL,NULL,'Ill','fay@example.com',NULL,NULL,NULL,NULL,'2027-01-04 07:02:00.923733','2027-01-04 07:02:00.946264');
CREATE TABLE busy_slot (
	host_id INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	booking_id INTEGER NOT NULL, 
	CONSTRAINT pk_busy_slot PRIMARY KEY (host_id, at), 
	CONSTRAINT fk_busy_slot_booking_id_booking FOREIGN KEY(booking_id) REFERENCES booking (id) ON DELETE CASCADE, 
	CONSTRAINT fk_busy_slot_host_id_user FOREIGN KEY(host_id) REFERENCES user (id)
);
INSERT INTO "busy_slot" VALUES(1,'2027-01-05 10:00:00.000000',1);
INSERT INTO "busy_slot" VALUES(1,'2027-01-05 10:05:00.000000',1);
INSERT INTO "busy_slot" VALUES(1,'2027-01-05 10:10:00.000000',1);
INSERT INTO "busy_slot" VALUES(1,'2027-01-05 11:00:00.000000',2);
INSERT INTO "busy_slot" VALUES(1,'2027-01-05 11:05:00.000000',2);
INSERT INTO "busy_slot" VALUES(1,'2027-01-05 11:10:00.000000',2);
INSERT INTO "busy_slot" VALUES(1,'2027-01-05 12:00:00.000000',3);
INSERT INTO "busy_slot" VALUES(1,'2027-01-05 12:05:00.000000',3);
INSERT INTO "busy_slot" VALUES(1,'2027-01-05 12:10:00.000000',3);
INSERT INTO "busy_slot" VALUES(1,'2027-01-06 09:00:00.000000',4);
INSERT INTO "busy_slot" VALUES(1,'2027-01-06 09:05:00.000000',4);
INSERT INTO "busy_slot" VALUES(1,'2027-01-06 09:10:00.000000',4);
INSERT INTO "busy_slot" VALUES(1,'2027-01-06 09:15:00.000000',4);
INSERT INTO "busy_slot" VALUES(1,'2027-01-06 09:20:00.000000',4);
INSERT INTO "busy_slot" VALUES(1,'2027-01-06 09:25:00.000000',4);
INSERT INTO "busy_slot" VALUES(1,'2027-01-07 14:00:00.000000',6);
INSERT INTO "busy_slot" VALUES(1,'2027-01-07 14:05:00.000000',6);
INSERT INTO "busy_slot" VALUES(1,'2027-01-07 14:10:00.000000',6);
CREATE TABLE date_override (
	id INTEGER NOT NULL, 
	user_id INTEGER NOT NULL, 
	date DATE NOT NULL, 
	start_minute INTEGER, 
	end_minute INTEGER, 
	CONSTRAINT pk_date_override PRIMARY KEY (id), 
	CONSTRAINT fk_date_override_user_id_user FOREIGN KEY(user_id) REFERENCES user (id)
);
INSERT INTO "date_override" VALUES(1,1,'2027-01-08',NULL,NULL);
CREATE TABLE delivery (
	id INTEGER NOT NULL, 
	event_id INTEGER NOT NULL, 
	webhook_id INTEGER NOT NULL, 
	chain VARCHAR(40) NOT NULL, 
	state VARCHAR(12) NOT NULL, 
	due_at DATETIME, 
	after_id INTEGER, 
	claim VARCHAR(16), 
	attempts INTEGER NOT NULL, 
	tries INTEGER NOT NULL, 
	manual BOOLEAN NOT NULL, 
	body TEXT, 
	content_type VARCHAR(60), 
	last_status INTEGER, 
	reason TEXT, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	parked_at DATETIME, 
	expires_at DATETIME, 
	CONSTRAINT pk_delivery PRIMARY KEY (id), 
	CONSTRAINT fk_delivery_event_id_event FOREIGN KEY(event_id) REFERENCES event (id), 
	CONSTRAINT fk_delivery_webhook_id_webhook FOREIGN KEY(webhook_id) REFERENCES webhook (id)
);
INSERT INTO "delivery" VALUES(1,1,2,'r04QH_0Pnzz8HoDivseztw','delivered',NULL,NULL,NULL,1,1,0,NULL,NULL,200,NULL,'2027-01-04 07:00:00.693362','2027-01-04 07:00:00.748611',NULL,NULL);
INSERT INTO "delivery" VALUES(2,1,3,'r04QH_0Pnzz8HoDivseztw','delivered',NULL,NULL,NULL,1,1,0,'{"who": "Ada Byron", "user": "ada"}','application/json',200,NULL,'2027-01-04 07:00:00.693362','2027-01-04 07:00:00.748611',NULL,NULL);
INSERT INTO "delivery" VALUES(3,1,4,'r04QH_0Pnzz8HoDivseztw','parked',NULL,NULL,NULL,1,1,0,NULL,NULL,410,'The server answered 410 Gone: it wants no more events.','2027-01-04 07:00:00.693362',NULL,'2027-01-04 07:00:00.748611',NULL);
INSERT INTO "delivery" VALUES(4,2,2,'04WLl3B-UMXEfNVsaoj3Qg','waiting','2027-01-04 07:01:05.163394',NULL,NULL,1,1,0,NULL,NULL,500,'The server answered 500 Internal Server Error. Its own log says why.','2027-01-04 07:01:00.780573',NULL,NULL,NULL);
INSERT INTO "delivery" VALUES(5,2,3,'04WLl3B-UMXEfNVsaoj3Qg','waiting','2027-01-04 07:01:04.852395',NULL,NULL,1,1,0,'{"who": "Bob Byron", "user": "bob"}','application/json',500,'The server answered 500 Internal Server Error. Its own log says why.','2027-01-04 07:01:00.780573',NULL,NULL,NULL);
INSERT INTO "delivery" VALUES(6,2,4,'04WLl3B-UMXEfNVsaoj3Qg','parked',NULL,NULL,NULL,0,0,0,NULL,NULL,NULL,'The webhook was off when this happened.','2027-01-04 07:01:00.780573',NULL,'2027-01-04 07:01:00.780573',NULL);
INSERT INTO "delivery" VALUES(7,3,2,'REDjIzYhbgH9O4L0qqtL-w','waiting','2027-01-04 07:02:00.818110',NULL,NULL,0,0,0,NULL,NULL,NULL,NULL,'2027-01-04 07:02:00.818110',NULL,NULL,NULL);
INSERT INTO "delivery" VALUES(8,3,3,'REDjIzYhbgH9O4L0qqtL-w','waiting','2027-01-04 07:02:00.818110',NULL,NULL,0,0,0,'{"who": "Cyd Byron", "user": "cyd"}','application/json',NULL,NULL,'2027-01-04 07:02:00.818110',NULL,NULL,NULL);
INSERT INTO "delivery" VALUES(9,3,4,'REDjIzYhbgH9O4L0qqtL-w','parked',NULL,NULL,NULL,0,0,0,NULL,NULL,NULL,'The webhook was off when this happened.','2027-01-04 07:02:00.818110',NULL,'2027-01-04 07:02:00.818110',NULL);
INSERT INTO "delivery" VALUES(10,4,2,'bK1RR5WPIxlIV1C76RMctQ','waiting','2027-01-04 07:02:00.841839',NULL,NULL,0,0,0,NULL,NULL,NULL,NULL,'2027-01-04 07:02:00.841839',NULL,NULL,NULL);
INSERT INTO "delivery" VALUES(11,4,4,'bK1RR5WPIxlIV1C76RMctQ','parked',NULL,NULL,NULL,0,0,0,NULL,NULL,NULL,'The webhook was off when this happened.','2027-01-04 07:02:00.841839',NULL,'2027-01-04 07:02:00.841839',NULL);
INSERT INTO "delivery" VALUES(12,5,2,'r1aP7Qg2n82Z2nEjkdH0eg','waiting','2027-01-04 07:02:00.863303',NULL,NULL,0,0,0,NULL,NULL,NULL,NULL,'2027-01-04 07:02:00.863303',NULL,NULL,NULL);
INSERT INTO "delivery" VALUES(13,5,3,'r1aP7Qg2n82Z2nEjkdH0eg','waiting','2027-01-04 07:02:00.863303',NULL,NULL,0,0,0,'{"who": "Eve Byron", "user": "eve"}','application/json',NULL,NULL,'2027-01-04 07:02:00.863303',NULL,NULL,NULL);
INSERT INTO "delivery" VALUES(14,5,4,'r1aP7Qg2n82Z2nEjkdH0eg','parked',NULL,NULL,NULL,0,0,0,NULL,NULL,NULL,'The webhook was off when this happened.','2027-01-04 07:02:00.863303',NULL,'2027-01-04 07:02:00.863303',NULL);
INSERT INTO "delivery" VALUES(15,6,2,'r1aP7Qg2n82Z2nEjkdH0eg','waiting',NULL,12,NULL,0,0,0,NULL,NULL,NULL,NULL,'2027-01-04 07:02:00.903756',NULL,NULL,NULL);
INSERT INTO "delivery" VALUES(16,6,3,'r1aP7Qg2n82Z2nEjkdH0eg','waiting',NULL,13,NULL,0,0,0,'{"who": "Eve Byron", "user": "eve"}','application/json',NULL,NULL,'2027-01-04 07:02:00.903756',NULL,NULL,NULL);
INSERT INTO "delivery" VALUES(17,6,4,'r1aP7Qg2n82Z2nEjkdH0eg','parked',NULL,NULL,NULL,0,0,0,NULL,NULL,NULL,'The webhook was off when this happened.','2027-01-04 07:02:00.903756',NULL,'2027-01-04 07:02:00.903756',NULL);
INSERT INTO "delivery" VALUES(18,7,2,'yCW5aop_zeVzUMtXpeMOzA','waiting','2027-01-04 07:02:00.925916',NULL,NULL,0,0,0,NULL,NULL,NULL,NULL,'2027-01-04 07:02:00.925916',NULL,NULL,NULL);
INSERT INTO "delivery" VALUES(19,7,3,'yCW5aop_zeVzUMtXpeMOzA','waiting','2027-01-04 07:02:00.925916',NULL,NULL,0,0,0,'{"who": "Fay Byron", "user": "fay"}','application/json',NULL,NULL,'2027-01-04 07:02:00.925916',NULL,NULL,NULL);
INSERT INTO "delivery" VALUES(20,7,4,'yCW5aop_zeVzUMtXpeMOzA','parked',NULL,NULL,NULL,0,0,0,NULL,NULL,NULL,'The webhook was off when this happened.','2027-01-04 07:02:00.925916',NULL,'2027-01-04 07:02:00.925916',NULL);
INSERT INTO "delivery" VALUES(21,8,2,'yCW5aop_zeVzUMtXpeMOzA','waiting',NULL,18,NULL,0,0,0,NULL,NULL,NULL,NULL,'2027-01-04 07:02:00.947175',NULL,NULL,NULL);
INSERT INTO "delivery" VALUES(22,8,3,'yCW5aop_zeVzUMtXpeMOzA','waiting',NULL,19,NULL,0,0,0,'{"who": "Fay Byron", "user": "fay"}','application/json',NULL,NULL,'2027-01-04 07:02:00.947175',NULL,NULL,NULL);
INSERT INTO "delivery" VALUES(23,8,4,'yCW5aop_zeVzUMtXpeMOzA','parked',NULL,NULL,NULL,0,0,0,NULL,NULL,NULL,'The webhook was off when this happened.','2027-01-04 07:02:00.947175',NULL,'2027-01-04 07:02:00.947175',NULL);
CREATE TABLE event (
	id INTEGER NOT NULL, 
	uid VARCHAR(40) NOT NULL, 
	user_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	"trigger" VARCHAR(40) NOT NULL, 
	chain VARCHAR(40) NOT NULL, 
	sequence INTEGER NOT NULL, 
	subject VARCHAR(40) NOT NULL, 
	search TEXT NOT NULL, 
	body TEXT, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME, 
	CONSTRAINT pk_event PRIMARY KEY (id), 
	CONSTRAINT fk_event_user_id_user FOREIGN KEY(user_id) REFERENCES user (id), 
	CONSTRAINT uq_event_chain_sequence UNIQUE (chain, sequence), 
	CONSTRAINT uq_event_uid UNIQUE (uid), 
	CONSTRAINT uq_event_user_id_number UNIQUE (user_id, number)
);
INSERT INTO "event" VALUES(1,'evt_e2ff04782ee147c92610e2b3',1,1,'BOOKING_CREATED','r04QH_0Pnzz8HoDivseztw',1,'r04QH_0Pnzz8HoDivseztw','ada byron
ada@example.com
guest@example.com
guest@example.com
quick chat between rick and ada byron
r04qh_0pnzz8hodivseztw
ada','{"triggerEvent":"BOOKING_CREATED","createdAt":"2027-01-04T07:00:00.693Z","id":"evt_e2ff04782ee147c92610e2b3","payload":{"type":"quick-chat","title":"Quick chat between Rick and Ada Byron","eventTitle":"Quick chat","eventDescription":"","description":"From Ada","additionalNotes":"From Ada","startTime":"2027-01-05T10:00:00Z","endTime":"2027-01-05T10:15:00Z","length":15,"uid":"r04QH_0Pnzz8HoDivseztw","bookingId":1,"originalUid":"r04QH_0Pnzz8HoDivseztw","sequence":1,"eventTypeId":1,"status":"ACCEPTED","requiresConfirmation":false,"organizer":{"id":1,"name":"Rick","email":"rick@example.com","username":"rick","timeZone":"UTC","language":{"locale":"en"},"timeFormat":"HH:mm","utcOffset":0},"attendees":[{"name":"Ada Byron","email":"ada@example.com","firstName":"Ada","lastName":"Byron","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0},{"name":"guest@example.com","email":"guest@example.com","firstName":"guest@example.com","lastName":"","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0}],"responses":{"name":{"label":"your_name","value":"Ada Byron","isHidden":false},"email":{"label":"email_address","value":"ada@example.com","isHidden":false},"notes":{"label":"additional_notes","value":"From Ada","isHidden":false},"guests":{"label":"additional_guests","value":["guest@example.com"],"isHidden":false}},"userFieldsResponses":{},"customInputs":{},"location":"","iCalUID":"r04QH_0Pnzz8HoDivseztw@calapp","iCalSequence":0,"metadata":{"user_id":"ada"},"bookerUrl":"http://127.0.0.1:5000","cancelUrl":"http://127.0.0.1:5000/booking/r04QH_0Pnzz8HoDivseztw/cancel","rescheduleUrl":"http://127.0.0.1:5000/booking/r04QH_0Pnzz8HoDivseztw/reschedule"}}','2027-01-04 07:00:00.693362',NULL);
INSERT INTO "event" VALUES(2,'evt_30fb9671c7f0d6bc98134c76',1,2,'BOOKING_CREATED','04WLl3B-UMXEfNVsaoj3Qg',1,'04WLl3B-UMXEfNVsaoj3Qg','bob byron
bob@example.com
guest@example.com
guest@example.com
quick chat between rick and bob byron
04wll3b-umxefnvsaoj3qg
bob','{"triggerEvent":"BOOKING_CREATED","createdAt":"2027-01-04T07:01:00.780Z","id":"evt_30fb9671c7f0d6bc98134c76","payload":{"type":"quick-chat","title":"Quick chat between Rick and Bob Byron","eventTitle":"Quick chat","eventDescription":"","description":"From Bob","additionalNotes":"From Bob","startTime":"2027-01-05T11:00:00Z","endTime":"2027-01-05T11:15:00Z","length":15,"uid":"04WLl3B-UMXEfNVsaoj3Qg","bookingId":2,"originalUid":"04WLl3B-UMXEfNVsaoj3Qg","sequence":1,"eventTypeId":1,"status":"ACCEPTED","requiresConfirmation":false,"organizer":{"id":1,"name":"Rick","email":"rick@example.com","username":"rick","timeZone":"UTC","language":{"locale":"en"},"timeFormat":"HH:mm","utcOffset":0},"attendees":[{"name":"Bob Byron","email":"bob@example.com","firstName":"Bob","lastName":"Byron","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0},{"name":"guest@example.com","email":"guest@example.com","firstName":"guest@example.com","lastName":"","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0}],"responses":{"name":{"label":"your_name","value":"Bob Byron","isHidden":false},"email":{"label":"email_address","value":"bob@example.com","isHidden":false},"notes":{"label":"additional_notes","value":"From Bob","isHidden":false},"guests":{"label":"additional_guests","value":["guest@example.com"],"isHidden":false}},"userFieldsResponses":{},"customInputs":{},"location":"","iCalUID":"04WLl3B-UMXEfNVsaoj3Qg@calapp","iCalSequence":0,"metadata":{"user_id":"bob"},"bookerUrl":"http://127.0.0.1:5000","cancelUrl":"http://127.0.0.1:5000/booking/04WLl3B-UMXEfNVsaoj3Qg/cancel","rescheduleUrl":"http://127.0.0.1:5000/booking/04WLl3B-UMXEfNVsaoj3Qg/reschedule"}}','2027-01-04 07:01:00.780573',NULL);
INSERT INTO "event" VALUES(3,'evt_333bbea9f455d28086f38997',1,3,'BOOKING_CREATED','REDjIzYhbgH9O4L0qqtL-w',1,'REDjIzYhbgH9O4L0qqtL-w','cyd byron
cyd@example.com
guest@example.com
guest@example.com
quick chat between rick and cyd byron
redjizyhbgh9o4l0qqtl-w
cyd','{"triggerEvent":"BOOKING_CREATED","createdAt":"2027-01-04T07:02:00.818Z","id":"evt_333bbea9f455d28086f38997","payload":{"type":"quick-chat","title":"Quick chat between Rick and Cyd Byron","eventTitle":"Quick chat","eventDescription":"","description":"From Cyd","additionalNotes":"From Cyd","startTime":"2027-01-05T12:00:00Z","endTime":"2027-01-05T12:15:00Z","length":15,"uid":"REDjIzYhbgH9O4L0qqtL-w","bookingId":3,"originalUid":"REDjIzYhbgH9O4L0qqtL-w","sequence":1,"eventTypeId":1,"status":"ACCEPTED","requiresConfirmation":false,"organizer":{"id":1,"name":"Rick","email":"rick@example.com","username":"rick","timeZone":"UTC","language":{"locale":"en"},"timeFormat":"HH:mm","utcOffset":0},"attendees":[{"name":"Cyd Byron","email":"cyd@example.com","firstName":"Cyd","lastName":"Byron","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0},{"name":"guest@example.com","email":"guest@example.com","firstName":"guest@example.com","lastName":"","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0}],"responses":{"name":{"label":"your_name","value":"Cyd Byron","isHidden":false},"email":{"label":"email_address","value":"cyd@example.com","isHidden":false},"notes":{"label":"additional_notes","value":"From Cyd","isHidden":false},"guests":{"label":"additional_guests","value":["guest@example.com"],"isHidden":false}},"userFieldsResponses":{},"customInputs":{},"location":"","iCalUID":"REDjIzYhbgH9O4L0qqtL-w@calapp","iCalSequence":0,"metadata":{"user_id":"cyd"},"bookerUrl":"http://127.0.0.1:5000","cancelUrl":"http://127.0.0.1:5000/booking/REDjIzYhbgH9O4L0qqtL-w/cancel","rescheduleUrl":"http://127.0.0.1:5000/booking/REDjIzYhbgH9O4L0qqtL-w/reschedule"}}','2027-01-04 07:02:00.818110',NULL);
INSERT INTO "event" VALUES(4,'evt_1c3736f6fde01ef827721ad7',1,4,'BOOKING_REQUESTED','bK1RR5WPIxlIV1C76RMctQ',1,'bK1RR5WPIxlIV1C76RMctQ','dan byron
dan@example.com
guest@example.com
guest@example.com
30 minutes between rick and dan byron
bk1rr5wpixliv1c76rmctq
dan','{"triggerEvent":"BOOKING_REQUESTED","createdAt":"2027-01-04T07:02:00.841Z","id":"evt_1c3736f6fde01ef827721ad7","payload":{"type":"30min","title":"30 minutes between Rick and Dan Byron","eventTitle":"30 minutes","eventDescription":"","description":"From Dan","additionalNotes":"From Dan","startTime":"2027-01-06T09:00:00Z","endTime":"2027-01-06T09:30:00Z","length":30,"uid":"bK1RR5WPIxlIV1C76RMctQ","bookingId":4,"originalUid":"bK1RR5WPIxlIV1C76RMctQ","sequence":1,"eventTypeId":2,"status":"PENDING","requiresConfirmation":true,"organizer":{"id":1,"name":"Rick","email":"rick@example.com","username":"rick","timeZone":"UTC","language":{"locale":"en"},"timeFormat":"HH:mm","utcOffset":0},"attendees":[{"name":"Dan Byron","email":"dan@example.com","firstName":"Dan","lastName":"Byron","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0},{"name":"guest@example.com","email":"guest@example.com","firstName":"guest@example.com","lastName":"","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0}],"responses":{"name":{"label":"your_name","value":"Dan Byron","isHidden":false},"email":{"label":"email_address","value":"dan@example.com","isHidden":false},"notes":{"label":"additional_notes","value":"From Dan","isHidden":false},"guests":{"label":"additional_guests","value":["guest@example.com"],"isHidden":false}},"userFieldsResponses":{},"customInputs":{},"location":"","iCalUID":"bK1RR5WPIxlIV1C76RMctQ@calapp","iCalSequence":0,"metadata":{"user_id":"dan"},"bookerUrl":"http://127.0.0.1:5000","cancelUrl":"http://127.0.0.1:5000/booking/bK1RR5WPIxlIV1C76RMctQ/cancel","rescheduleUrl":"http://127.0.0.1:5000/booking/bK1RR5WPIxlIV1C76RMctQ/reschedule"}}','2027-01-04 07:02:00.841839',NULL);
INSERT INTO "event" VALUES(5,'evt_333bc5cadd4165833b01b4f6',1,5,'BOOKING_CREATED','r1aP7Qg2n82Z2nEjkdH0eg',1,'r1aP7Qg2n82Z2nEjkdH0eg','eve byron
eve@example.com
guest@example.com
guest@example.com
quick chat between rick and eve byron
r1ap7qg2n82z2nejkdh0eg
eve','{"triggerEvent":"BOOKING_CREATED","createdAt":"2027-01-04T07:02:00.863Z","id":"evt_333bc5cadd4165833b01b4f6","payload":{"type":"quick-chat","title":"Quick chat between Rick and Eve Byron","eventTitle":"Quick chat","eventDescription":"","description":"From Eve","additionalNotes":"From Eve","startTime":"2027-01-05T14:00:00Z","endTime":"2027-01-05T14:15:00Z","length":15,"uid":"r1aP7Qg2n82Z2nEjkdH0eg","bookingId":5,"originalUid":"r1aP7Qg2n82Z2nEjkdH0eg","sequence":1,"eventTypeId":1,"status":"ACCEPTED","requiresConfirmation":false,"organizer":{"id":1,"name":"Rick","email":"rick@example.com","username":"rick","timeZone":"UTC","language":{"locale":"en"},"timeFormat":"HH:mm","utcOffset":0},"attendees":[{"name":"Eve Byron","email":"eve@example.com","firstName":"Eve","lastName":"Byron","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0},{"name":"guest@example.com","email":"guest@example.com","firstName":"guest@example.com","lastName":"","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0}],"responses":{"name":{"label":"your_name","value":"Eve Byron","isHidden":false},"email":{"label":"email_address","value":"eve@example.com","isHidden":false},"notes":{"label":"additional_notes","value":"From Eve","isHidden":false},"guests":{"label":"additional_guests","value":["guest@example.com"],"isHidden":false}},"userFieldsResponses":{},"customInputs":{},"location":"","iCalUID":"r1aP7Qg2n82Z2nEjkdH0eg@calapp","iCalSequence":0,"metadata":{"user_id":"eve"},"bookerUrl":"http://127.0.0.1:5000","cancelUrl":"http://127.0.0.1:5000/booking/r1aP7Qg2n82Z2nEjkdH0eg/cancel","rescheduleUrl":"http://127.0.0.1:5000/booking/r1aP7Qg2n82Z2nEjkdH0eg/reschedule"}}','2027-01-04 07:02:00.863303',NULL);
INSERT INTO "event" VALUES(6,'evt_9bbc45fefb5f010ccc509914',1,6,'BOOKING_RESCHEDULED','r1aP7Qg2n82Z2nEjkdH0eg',2,'c0ufEioVqVvSAfxUMlpSxA','eve byron
eve@example.com
guest@example.com
guest@example.com
quick chat between rick and eve byron
c0ufeiovqvvsafxumlpsxa
eve','{"triggerEvent":"BOOKING_RESCHEDULED","createdAt":"2027-01-04T07:02:00.903Z","id":"evt_9bbc45fefb5f010ccc509914","payload":{"type":"quick-chat","title":"Quick chat between Rick and Eve Byron","eventTitle":"Quick chat","eventDescription":"","description":"From Eve","additionalNotes":"From Eve","startTime":"2027-01-07T14:00:00Z","endTime":"2027-01-07T14:15:00Z","length":15,"uid":"c0ufEioVqVvSAfxUMlpSxA","bookingId":6,"originalUid":"r1aP7Qg2n82Z2nEjkdH0eg","sequence":2,"eventTypeId":1,"status":"ACCEPTED","requiresConfirmation":false,"organizer":{"id":1,"name":"Rick","email":"rick@example.com","username":"rick","timeZone":"UTC","language":{"locale":"en"},"timeFormat":"HH:mm","utcOffset":0},"attendees":[{"name":"Eve Byron","email":"eve@example.com","firstName":"Eve","lastName":"Byron","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0},{"name":"guest@example.com","email":"guest@example.com","firstName":"guest@example.com","lastName":"","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0}],"responses":{"name":{"label":"your_name","value":"Eve Byron","isHidden":false},"email":{"label":"email_address","value":"eve@example.com","isHidden":false},"notes":{"label":"additional_notes","value":"From Eve","isHidden":false},"guests":{"label":"additional_guests","value":["guest@example.com"],"isHidden":false}},"userFieldsResponses":{},"customInputs":{},"location":"","iCalUID":"r1aP7Qg2n82Z2nEjkdH0eg@calapp","iCalSequence":1,"metadata":{"user_id":"eve"},"bookerUrl":"http://127.0.0.1:5000","cancelUrl":"http://127.0.0.1:5000/booking/c0ufEioVqVvSAfxUMlpSxA/cancel","rescheduleUrl":"http://127.0.0.1:5000/booking/c0ufEioVqVvSAfxUMlpSxA/reschedule","rescheduleUid":"r1aP7Qg2n82Z2nEjkdH0eg","rescheduleId":5,"rescheduleStartTime":"2027-01-05T14:00:00Z","rescheduleEndTime":"2027-01-05T14:15:00Z","rescheduledBy":"eve@example.com","reschedulingReason":"A conflict"}}','2027-01-04 07:02:00.903756',NULL);
INSERT INTO "event" VALUES(7,'evt_81cfdff9bba9d1c5978cc3fd',1,7,'BOOKING_CREATED','yCW5aop_zeVzUMtXpeMOzA',1,'yCW5aop_zeVzUMtXpeMOzA','fay byron
fay@example.com
guest@example.com
guest@example.com
quick chat between rick and fay byron
ycw5aop_zevzumtxpemoza
fay','{"triggerEvent":"BOOKING_CREATED","createdAt":"2027-01-04T07:02:00.925Z","id":"evt_81cfdff9bba9d1c5978cc3fd","payload":{"type":"quick-chat","title":"Quick chat between Rick and Fay Byron","eventTitle":"Quick chat","eventDescription":"","description":"From Fay","additionalNotes":"From Fay","startTime":"2027-01-05T15:00:00Z","endTime":"2027-01-05T15:15:00Z","length":15,"uid":"yCW5aop_zeVzUMtXpeMOzA","bookingId":7,"originalUid":"yCW5aop_zeVzUMtXpeMOzA","sequence":1,"eventTypeId":1,"status":"ACCEPTED","requiresConfirmation":false,"organizer":{"id":1,"name":"Rick","email":"rick@example.com","username":"rick","timeZone":"UTC","language":{"locale":"en"},"timeFormat":"HH:mm","utcOffset":0},"attendees":[{"name":"Fay Byron","email":"fay@example.com","firstName":"Fay","lastName":"Byron","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0},{"name":"guest@example.com","email":"guest@example.com","firstName":"guest@example.com","lastName":"","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0}],"responses":{"name":{"label":"your_name","value":"Fay Byron","isHidden":false},"email":{"label":"email_address","value":"fay@example.com","isHidden":false},"notes":{"label":"additional_notes","value":"From Fay","isHidden":false},"guests":{"label":"additional_guests","value":["guest@example.com"],"isHidden":false}},"userFieldsResponses":{},"customInputs":{},"location":"","iCalUID":"yCW5aop_zeVzUMtXpeMOzA@calapp","iCalSequence":0,"metadata":{"user_id":"fay"},"bookerUrl":"http://127.0.0.1:5000","cancelUrl":"http://127.0.0.1:5000/booking/yCW5aop_zeVzUMtXpeMOzA/cancel","rescheduleUrl":"http://127.0.0.1:5000/booking/yCW5aop_zeVzUMtXpeMOzA/reschedule"}}','2027-01-04 07:02:00.925916',NULL);
INSERT INTO "event" VALUES(8,'evt_687c8e3d733b0d3148e6aad0',1,8,'BOOKING_CANCELLED','yCW5aop_zeVzUMtXpeMOzA',2,'yCW5aop_zeVzUMtXpeMOzA','fay byron
fay@example.com
guest@example.com
guest@example.com
quick chat between rick and fay byron
ycw5aop_zevzumtxpemoza
fay','{"triggerEvent":"BOOKING_CANCELLED","createdAt":"2027-01-04T07:02:00.947Z","id":"evt_687c8e3d733b0d3148e6aad0","payload":{"type":"quick-chat","title":"Quick chat between Rick and Fay Byron","eventTitle":"Quick chat","eventDescription":"","description":"From Fay","additionalNotes":"From Fay","startTime":"2027-01-05T15:00:00Z","endTime":"2027-01-05T15:15:00Z","length":15,"uid":"yCW5aop_zeVzUMtXpeMOzA","bookingId":7,"originalUid":"yCW5aop_zeVzUMtXpeMOzA","sequence":2,"eventTypeId":1,"status":"CANCELLED","requiresConfirmation":false,"organizer":{"id":1,"name":"Rick","email":"rick@example.com","username":"rick","timeZone":"UTC","language":{"locale":"en"},"timeFormat":"HH:mm","utcOffset":0},"attendees":[{"name":"Fay Byron","email":"fay@example.com","firstName":"Fay","lastName":"Byron","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0},{"name":"guest@example.com","email":"guest@example.com","firstName":"guest@example.com","lastName":"","timeZone":"Europe/London","language":{"locale":"en"},"utcOffset":0}],"responses":{"name":{"label":"your_name","value":"Fay Byron","isHidden":false},"email":{"label":"email_address","value":"fay@example.com","isHidden":false},"notes":{"label":"additional_notes","value":"From Fay","isHidden":false},"guests":{"label":"additional_guests","value":["guest@example.com"],"isHidden":false}},"userFieldsResponses":{},"customInputs":{},"location":"","iCalUID":"yCW5aop_zeVzUMtXpeMOzA@calapp","iCalSequence":1,"metadata":{"user_id":"fay"},"bookerUrl":"http://127.0.0.1:5000","cancelUrl":"http://127.0.0.1:5000/booking/yCW5aop_zeVzUMtXpeMOzA/cancel","rescheduleUrl":"http://127.0.0.1:5000/booking/yCW5aop_zeVzUMtXpeMOzA/reschedule","cancellationReason":"Ill","cancelledBy":"fay@example.com"}}','2027-01-04 07:02:00.947175',NULL);
CREATE TABLE event_type (
	id INTEGER NOT NULL, 
	user_id INTEGER NOT NULL, 
	title VARCHAR(100) NOT NULL, 
	slug VARCHAR(60) NOT NULL, 
	description TEXT NOT NULL, 
	length INTEGER NOT NULL, 
	step INTEGER, 
	buffer_before INTEGER NOT NULL, 
	buffer_after INTEGER NOT NULL, 
	notice INTEGER NOT NULL, 
	max_days INTEGER NOT NULL, 
	max_per_day INTEGER, 
	requires_confirmation BOOLEAN NOT NULL, 
	hidden BOOLEAN NOT NULL, 
	redirect_url VARCHAR(2000), 
	location_kind VARCHAR(20) NOT NULL, 
	location VARCHAR(500) NOT NULL, 
	questions JSON NOT NULL, 
	position INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	deleted_at DATETIME, 
	CONSTRAINT pk_event_type PRIMARY KEY (id), 
	CONSTRAINT fk_event_type_user_id_user FOREIGN KEY(user_id) REFERENCES user (id)
);
INSERT INTO "event_type" VALUES(1,1,'Quick chat','quick-chat','',15,NULL,0,0,120,60,NULL,0,0,NULL,'none','','[]',0,'2027-01-04 07:00:00.339175',NULL);
INSERT INTO "event_type" VALUES(2,1,'30 minutes','30min','',30,NULL,0,0,120,60,NULL,1,0,NULL,'none','','[]',1,'2027-01-04 07:00:00.340678',NULL);
INSERT INTO "event_type" VALUES(3,1,'Removed','removed','',20,NULL,0,0,0,60,NULL,0,0,NULL,'none','','[]',2,'2027-01-04 07:00:00.633027','2027-01-04 07:00:00.641857');
CREATE TABLE inspector (
	user_id INTEGER NOT NULL, 
	token VARCHAR(43) NOT NULL, 
	fail_next INTEGER NOT NULL, 
	delay_seconds INTEGER NOT NULL, 
	CONSTRAINT pk_inspector PRIMARY KEY (user_id), 
	CONSTRAINT fk_inspector_user_id_user FOREIGN KEY(user_id) REFERENCES user (id), 
	CONSTRAINT uq_inspector_token UNIQUE (token)
);
INSERT INTO "inspector" VALUES(1,'gA03q_c2odKQXW3W0mcPYPD4f4QtG0Lw',0,0);
CREATE TABLE inspector_request (
	id INTEGER NOT NULL, 
	user_id INTEGER NOT NULL, 
	received_at DATETIME NOT NULL, 
	headers JSON NOT NULL, 
	body TEXT NOT NULL, 
	"trigger" VARCHAR(40), 
	signature VARCHAR(10) NOT NULL, 
	status INTEGER NOT NULL, 
	CONSTRAINT pk_inspector_request PRIMARY KEY (id), 
	CONSTRAINT fk_inspector_request_user_id_user FOREIGN KEY(user_id) REFERENCES user (id)
);
INSERT INTO "inspector_request" VALUES(1,1,'2027-01-04 07:00:00.584448','[["User-Agent", "Werkzeug/3.1.9"], ["Host", "localhost"], ["Content-Type", "application/json"], ["Content-Length", "24"]]','{"triggerEvent": "PING"}','PING','none',200);
CREATE TABLE mail (
	id INTEGER NOT NULL, 
	user_id INTEGER NOT NULL, 
	about VARCHAR(40), 
	recipient VARCHAR(254) NOT NULL, 
	reply_to VARCHAR(254), 
	subject VARCHAR(300) NOT NULL, 
	body TEXT NOT NULL, 
	calendar TEXT, 
	calendar_method VARCHAR(10), 
	due_at DATETIME, 
	tries INTEGER NOT NULL, 
	error TEXT, 
	created_at DATETIME NOT NULL, 
	sent_at DATETIME, 
	CONSTRAINT pk_mail PRIMARY KEY (id), 
	CONSTRAINT fk_mail_user_id_user FOREIGN KEY(user_id) REFERENCES user (id)
);
INSERT INTO "mail" VALUES(1,1,'r04QH_0Pnzz8HoDivseztw','ada@example.com','rick@example.com','Booked: Quick chat between Rick and Ada Byron','Quick chat between Rick and Ada Byron

When: Tuesday, 5 January 2027, 10:00 – 10:15 (Europe/London)
Who: Rick <rick@example.com>, Ada Byron <ada@example.com>, guest@example.com <guest@example.com>
Notes: From Ada

Look, move or cancel: http://127.0.0.1:5000/booking/r04QH_0Pnzz8HoDivseztw
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Ada Byron
DTSTART:20270105T100000Z
DTEND:20270105T101500Z
DTSTAMP:20270104T070000Z
UID:r04QH_0Pnzz8HoDivseztw@calapp
SEQUENCE:0
ATTENDEE;CN="Ada Byron":mailto:ada@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Ada\n\nMove or cancel: http://127.0.0.1:5000/booking/r04Q
 H_0Pnzz8HoDivseztw
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:00:00.718671',NULL);
INSERT INTO "mail" VALUES(2,1,'r04QH_0Pnzz8HoDivseztw','guest@example.com','rick@example.com','Booked: Quick chat between Rick and Ada Byron','Quick chat between Rick and Ada Byron

When: Tuesday, 5 January 2027, 10:00 – 10:15 (Europe/London)
Who: Rick <rick@example.com>, Ada Byron <ada@example.com>, guest@example.com <guest@example.com>
Notes: From Ada

Look, move or cancel: http://127.0.0.1:5000/booking/r04QH_0Pnzz8HoDivseztw
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Ada Byron
DTSTART:20270105T100000Z
DTEND:20270105T101500Z
DTSTAMP:20270104T070000Z
UID:r04QH_0Pnzz8HoDivseztw@calapp
SEQUENCE:0
ATTENDEE;CN="Ada Byron":mailto:ada@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Ada\n\nMove or cancel: http://127.0.0.1:5000/booking/r04Q
 H_0Pnzz8HoDivseztw
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:00:00.718693',NULL);
INSERT INTO "mail" VALUES(3,1,'r04QH_0Pnzz8HoDivseztw','rick@example.com','ada@example.com','New booking: Quick chat between Rick and Ada Byron','Quick chat between Rick and Ada Byron

When: Tuesday, 5 January 2027, 10:00 – 10:15 (UTC)
Who: Rick <rick@example.com>, Ada Byron <ada@example.com>, guest@example.com <guest@example.com>
Notes: From Ada

Look, move or cancel: http://127.0.0.1:5000/bookings/r04QH_0Pnzz8HoDivseztw
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Ada Byron
DTSTART:20270105T100000Z
DTEND:20270105T101500Z
DTSTAMP:20270104T070000Z
UID:r04QH_0Pnzz8HoDivseztw@calapp
SEQUENCE:0
ATTENDEE;CN="Ada Byron":mailto:ada@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Ada\n\nMove or cancel: http://127.0.0.1:5000/booking/r04Q
 H_0Pnzz8HoDivseztw
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:00:00.718700',NULL);
INSERT INTO "mail" VALUES(4,1,'04WLl3B-UMXEfNVsaoj3Qg','bob@example.com','rick@example.com','Booked: Quick chat between Rick and Bob Byron','Quick chat between Rick and Bob Byron

When: Tuesday, 5 January 2027, 11:00 – 11:15 (Europe/London)
Who: Rick <rick@example.com>, Bob Byron <bob@example.com>, guest@example.com <guest@example.com>
Notes: From Bob

Look, move or cancel: http://127.0.0.1:5000/booking/04WLl3B-UMXEfNVsaoj3Qg
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Bob Byron
DTSTART:20270105T110000Z
DTEND:20270105T111500Z
DTSTAMP:20270104T070100Z
UID:04WLl3B-UMXEfNVsaoj3Qg@calapp
SEQUENCE:0
ATTENDEE;CN="Bob Byron":mailto:bob@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Bob\n\nMove or cancel: http://127.0.0.1:5000/booking/04WL
 l3B-UMXEfNVsaoj3Qg
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:01:00.793312',NULL);
INSERT INTO "mail" VALUES(5,1,'04WLl3B-UMXEfNVsaoj3Qg','guest@example.com','rick@example.com','Booked: Quick chat between Rick and Bob Byron','Quick chat between Rick and Bob Byron

When: Tuesday, 5 January 2027, 11:00 – 11:15 (Europe/London)
Who: Rick <rick@example.com>, Bob Byron <bob@example.com>, guest@example.com <guest@example.com>
Notes: From Bob

Look, move or cancel: http://127.0.0.1:5000/booking/04WLl3B-UMXEfNVsaoj3Qg
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Bob Byron
DTSTART:20270105T110000Z
DTEND:20270105T111500Z
DTSTAMP:20270104T070100Z
UID:04WLl3B-UMXEfNVsaoj3Qg@calapp
SEQUENCE:0
ATTENDEE;CN="Bob Byron":mailto:bob@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Bob\n\nMove or cancel: http://127.0.0.1:5000/booking/04WL
 l3B-UMXEfNVsaoj3Qg
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:01:00.793332',NULL);
INSERT INTO "mail" VALUES(6,1,'04WLl3B-UMXEfNVsaoj3Qg','rick@example.com','bob@example.com','New booking: Quick chat between Rick and Bob Byron','Quick chat between Rick and Bob Byron

When: Tuesday, 5 January 2027, 11:00 – 11:15 (UTC)
Who: Rick <rick@example.com>, Bob Byron <bob@example.com>, guest@example.com <guest@example.com>
Notes: From Bob

Look, move or cancel: http://127.0.0.1:5000/bookings/04WLl3B-UMXEfNVsaoj3Qg
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Bob Byron
DTSTART:20270105T110000Z
DTEND:20270105T111500Z
DTSTAMP:20270104T070100Z
UID:04WLl3B-UMXEfNVsaoj3Qg@calapp
SEQUENCE:0
ATTENDEE;CN="Bob Byron":mailto:bob@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Bob\n\nMove or cancel: http://127.0.0.1:5000/booking/04WL
 l3B-UMXEfNVsaoj3Qg
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:01:00.793340',NULL);
INSERT INTO "mail" VALUES(7,1,'REDjIzYhbgH9O4L0qqtL-w','cyd@example.com','rick@example.com','Booked: Quick chat between Rick and Cyd Byron','Quick chat between Rick and Cyd Byron

When: Tuesday, 5 January 2027, 12:00 – 12:15 (Europe/London)
Who: Rick <rick@example.com>, Cyd Byron <cyd@example.com>, guest@example.com <guest@example.com>
Notes: From Cyd

Look, move or cancel: http://127.0.0.1:5000/booking/REDjIzYhbgH9O4L0qqtL-w
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Cyd Byron
DTSTART:20270105T120000Z
DTEND:20270105T121500Z
DTSTAMP:20270104T070200Z
UID:REDjIzYhbgH9O4L0qqtL-w@calapp
SEQUENCE:0
ATTENDEE;CN="Cyd Byron":mailto:cyd@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Cyd\n\nMove or cancel: http://127.0.0.1:5000/booking/REDj
 IzYhbgH9O4L0qqtL-w
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:02:00.825804',NULL);
INSERT INTO "mail" VALUES(8,1,'REDjIzYhbgH9O4L0qqtL-w','guest@example.com','rick@example.com','Booked: Quick chat between Rick and Cyd Byron','Quick chat between Rick and Cyd Byron

When: Tuesday, 5 January 2027, 12:00 – 12:15 (Europe/London)
Who: Rick <rick@example.com>, Cyd Byron <cyd@example.com>, guest@example.com <guest@example.com>
Notes: From Cyd

Look, move or cancel: http://127.0.0.1:5000/booking/REDjIzYhbgH9O4L0qqtL-w
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Cyd Byron
DTSTART:20270105T120000Z
DTEND:20270105T121500Z
DTSTAMP:20270104T070200Z
UID:REDjIzYhbgH9O4L0qqtL-w@calapp
SEQUENCE:0
ATTENDEE;CN="Cyd Byron":mailto:cyd@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Cyd\n\nMove or cancel: http://127.0.0.1:5000/booking/REDj
 IzYhbgH9O4L0qqtL-w
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:02:00.825817',NULL);
INSERT INTO "mail" VALUES(9,1,'REDjIzYhbgH9O4L0qqtL-w','rick@example.com','cyd@example.com','New booking: Quick chat between Rick and Cyd Byron','Quick chat between Rick and Cyd Byron

When: Tuesday, 5 January 2027, 12:00 – 12:15 (UTC)
Who: Rick <rick@example.com>, Cyd Byron <cyd@example.com>, guest@example.com <guest@example.com>
Notes: From Cyd

Look, move or cancel: http://127.0.0.1:5000/bookings/REDjIzYhbgH9O4L0qqtL-w
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Cyd Byron
DTSTART:20270105T120000Z
DTEND:20270105T121500Z
DTSTAMP:20270104T070200Z
UID:REDjIzYhbgH9O4L0qqtL-w@calapp
SEQUENCE:0
ATTENDEE;CN="Cyd Byron":mailto:cyd@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Cyd\n\nMove or cancel: http://127.0.0.1:5000/booking/REDj
 IzYhbgH9O4L0qqtL-w
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:02:00.825822',NULL);
INSERT INTO "mail" VALUES(10,1,'bK1RR5WPIxlIV1C76RMctQ','dan@example.com','rick@example.com','Waiting for confirmation: 30 minutes between Rick and Dan Byron','30 minutes between Rick and Dan Byron

When: Wednesday, 6 January 2027, 09:00 – 09:30 (Europe/London)
Who: Rick <rick@example.com>, Dan Byron <dan@example.com>, guest@example.com <guest@example.com>
Notes: From Dan

Look, move or cancel: http://127.0.0.1:5000/booking/bK1RR5WPIxlIV1C76RMctQ
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:30 minutes between Rick and Dan Byron
DTSTART:20270106T090000Z
DTEND:20270106T093000Z
DTSTAMP:20270104T070200Z
UID:bK1RR5WPIxlIV1C76RMctQ@calapp
SEQUENCE:0
ATTENDEE;CN="Dan Byron":mailto:dan@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Dan\n\nMove or cancel: http://127.0.0.1:5000/booking/bK1R
 R5WPIxlIV1C76RMctQ
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:TENTATIVE
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:02:00.847752',NULL);
INSERT INTO "mail" VALUES(11,1,'bK1RR5WPIxlIV1C76RMctQ','guest@example.com','rick@example.com','Waiting for confirmation: 30 minutes between Rick and Dan Byron','30 minutes between Rick and Dan Byron

When: Wednesday, 6 January 2027, 09:00 – 09:30 (Europe/London)
Who: Rick <rick@example.com>, Dan Byron <dan@example.com>, guest@example.com <guest@example.com>
Notes: From Dan

Look, move or cancel: http://127.0.0.1:5000/booking/bK1RR5WPIxlIV1C76RMctQ
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:30 minutes between Rick and Dan Byron
DTSTART:20270106T090000Z
DTEND:20270106T093000Z
DTSTAMP:20270104T070200Z
UID:bK1RR5WPIxlIV1C76RMctQ@calapp
SEQUENCE:0
ATTENDEE;CN="Dan Byron":mailto:dan@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Dan\n\nMove or cancel: http://127.0.0.1:5000/booking/bK1R
 R5WPIxlIV1C76RMctQ
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:TENTATIVE
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:02:00.847765',NULL);
INSERT INTO "mail" VALUES(12,1,'bK1RR5WPIxlIV1C76RMctQ','rick@example.com','dan@example.com','Please confirm: 30 minutes between Rick and Dan Byron','30 minutes between Rick and Dan Byron

When: Wednesday, 6 January 2027, 09:00 – 09:30 (UTC)
Who: Rick <rick@example.com>, Dan Byron <dan@example.com>, guest@example.com <guest@example.com>
Notes: From Dan

Look, move or cancel: http://127.0.0.1:5000/bookings/bK1RR5WPIxlIV1C76RMctQ
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:30 minutes between Rick and Dan Byron
DTSTART:20270106T090000Z
DTEND:20270106T093000Z
DTSTAMP:20270104T070200Z
UID:bK1RR5WPIxlIV1C76RMctQ@calapp
SEQUENCE:0
ATTENDEE;CN="Dan Byron":mailto:dan@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Dan\n\nMove or cancel: http://127.0.0.1:5000/booking/bK1R
 R5WPIxlIV1C76RMctQ
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:TENTATIVE
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:02:00.847770',NULL);
INSERT INTO "mail" VALUES(13,1,'r1aP7Qg2n82Z2nEjkdH0eg','eve@example.com','rick@example.com','Booked: Quick chat between Rick and Eve Byron','Quick chat between Rick and Eve Byron

When: Tuesday, 5 January 2027, 14:00 – 14:15 (Europe/London)
Who: Rick <rick@example.com>, Eve Byron <eve@example.com>, guest@example.com <guest@example.com>
Notes: From Eve

Look, move or cancel: http://127.0.0.1:5000/booking/r1aP7Qg2n82Z2nEjkdH0eg
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Eve Byron
DTSTART:20270105T140000Z
DTEND:20270105T141500Z
DTSTAMP:20270104T070200Z
UID:r1aP7Qg2n82Z2nEjkdH0eg@calapp
SEQUENCE:0
ATTENDEE;CN="Eve Byron":mailto:eve@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Eve\n\nMove or cancel: http://127.0.0.1:5000/booking/r1aP
 7Qg2n82Z2nEjkdH0eg
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:02:00.870099',NULL);
INSERT INTO "mail" VALUES(14,1,'r1aP7Qg2n82Z2nEjkdH0eg','guest@example.com','rick@example.com','Booked: Quick chat between Rick and Eve Byron','Quick chat between Rick and Eve Byron

When: Tuesday, 5 January 2027, 14:00 – 14:15 (Europe/London)
Who: Rick <rick@example.com>, Eve Byron <eve@example.com>, guest@example.com <guest@example.com>
Notes: From Eve

Look, move or cancel: http://127.0.0.1:5000/booking/r1aP7Qg2n82Z2nEjkdH0eg
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Eve Byron
DTSTART:20270105T140000Z
DTEND:20270105T141500Z
DTSTAMP:20270104T070200Z
UID:r1aP7Qg2n82Z2nEjkdH0eg@calapp
SEQUENCE:0
ATTENDEE;CN="Eve Byron":mailto:eve@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Eve\n\nMove or cancel: http://127.0.0.1:5000/booking/r1aP
 7Qg2n82Z2nEjkdH0eg
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:02:00.870113',NULL);
INSERT INTO "mail" VALUES(15,1,'r1aP7Qg2n82Z2nEjkdH0eg','rick@example.com','eve@example.com','New booking: Quick chat between Rick and Eve Byron','Quick chat between Rick and Eve Byron

When: Tuesday, 5 January 2027, 14:00 – 14:15 (UTC)
Who: Rick <rick@example.com>, Eve Byron <eve@example.com>, guest@example.com <guest@example.com>
Notes: From Eve

Look, move or cancel: http://127.0.0.1:5000/bookings/r1aP7Qg2n82Z2nEjkdH0eg
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Eve Byron
DTSTART:20270105T140000Z
DTEND:20270105T141500Z
DTSTAMP:20270104T070200Z
UID:r1aP7Qg2n82Z2nEjkdH0eg@calapp
SEQUENCE:0
ATTENDEE;CN="Eve Byron":mailto:eve@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Eve\n\nMove or cancel: http://127.0.0.1:5000/booking/r1aP
 7Qg2n82Z2nEjkdH0eg
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:02:00.870118',NULL);
INSERT INTO "mail" VALUES(16,1,'c0ufEioVqVvSAfxUMlpSxA','eve@example.com','rick@example.com','Moved: Quick chat between Rick and Eve Byron','Quick chat between Rick and Eve Byron

When: Thursday, 7 January 2027, 14:00 – 14:15 (Europe/London)
Who: Rick <rick@example.com>, Eve Byron <eve@example.com>, guest@example.com <guest@example.com>
Before: Tuesday, 5 January 2027, 14:00 – 14:15 (Europe/London)
Why it was moved: A conflict
Notes: From Eve

Look, move or cancel: http://127.0.0.1:5000/booking/c0ufEioVqVvSAfxUMlpSxA
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Eve Byron
DTSTART:20270107T140000Z
DTEND:20270107T141500Z
DTSTAMP:20270104T070200Z
UID:r1aP7Qg2n82Z2nEjkdH0eg@calapp
SEQUENCE:1
ATTENDEE;CN="Eve Byron":mailto:eve@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Eve\n\nMove or cancel: http://127.0.0.1:5000/booking/c0uf
 EioVqVvSAfxUMlpSxA
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:02:00.911543',NULL);
INSERT INTO "mail" VALUES(17,1,'c0ufEioVqVvSAfxUMlpSxA','guest@example.com','rick@example.com','Moved: Quick chat between Rick and Eve Byron','Quick chat between Rick and Eve Byron

When: Thursday, 7 January 2027, 14:00 – 14:15 (Europe/London)
Who: Rick <rick@example.com>, Eve Byron <eve@example.com>, guest@example.com <guest@example.com>
Before: Tuesday, 5 January 2027, 14:00 – 14:15 (Europe/London)
Why it was moved: A conflict
Notes: From Eve

Look, move or cancel: http://127.0.0.1:5000/booking/c0ufEioVqVvSAfxUMlpSxA
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Eve Byron
DTSTART:20270107T140000Z
DTEND:20270107T141500Z
DTSTAMP:20270104T070200Z
UID:r1aP7Qg2n82Z2nEjkdH0eg@calapp
SEQUENCE:1
ATTENDEE;CN="Eve Byron":mailto:eve@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Eve\n\nMove or cancel: http://127.0.0.1:5000/booking/c0uf
 EioVqVvSAfxUMlpSxA
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:02:00.911559',NULL);
INSERT INTO "mail" VALUES(18,1,'c0ufEioVqVvSAfxUMlpSxA','rick@example.com','eve@example.com','Moved: Quick chat between Rick and Eve Byron','Quick chat between Rick and Eve Byron

When: Thursday, 7 January 2027, 14:00 – 14:15 (UTC)
Who: Rick <rick@example.com>, Eve Byron <eve@example.com>, guest@example.com <guest@example.com>
Before: Tuesday, 5 January 2027, 14:00 – 14:15 (UTC)
Why it was moved: A conflict
Notes: From Eve

Look, move or cancel: http://127.0.0.1:5000/bookings/c0ufEioVqVvSAfxUMlpSxA
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Eve Byron
DTSTART:20270107T140000Z
DTEND:20270107T141500Z
DTSTAMP:20270104T070200Z
UID:r1aP7Qg2n82Z2nEjkdH0eg@calapp
SEQUENCE:1
ATTENDEE;CN="Eve Byron":mailto:eve@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Eve\n\nMove or cancel: http://127.0.0.1:5000/booking/c0uf
 EioVqVvSAfxUMlpSxA
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:02:00.911564',NULL);
INSERT INTO "mail" VALUES(19,1,'yCW5aop_zeVzUMtXpeMOzA','fay@example.com','rick@example.com','Booked: Quick chat between Rick and Fay Byron','Quick chat between Rick and Fay Byron

When: Tuesday, 5 January 2027, 15:00 – 15:15 (Europe/London)
Who: Rick <rick@example.com>, Fay Byron <fay@example.com>, guest@example.com <guest@example.com>
Notes: From Fay

Look, move or cancel: http://127.0.0.1:5000/booking/yCW5aop_zeVzUMtXpeMOzA
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Fay Byron
DTSTART:20270105T150000Z
DTEND:20270105T151500Z
DTSTAMP:20270104T070200Z
UID:yCW5aop_zeVzUMtXpeMOzA@calapp
SEQUENCE:0
ATTENDEE;CN="Fay Byron":mailto:fay@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Fay\n\nMove or cancel: http://127.0.0.1:5000/booking/yCW5
 aop_zeVzUMtXpeMOzA
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:02:00.932685',NULL);
INSERT INTO "mail" VALUES(20,1,'yCW5aop_zeVzUMtXpeMOzA','guest@example.com','rick@example.com','Booked: Quick chat between Rick and Fay Byron','Quick chat between Rick and Fay Byron

When: Tuesday, 5 January 2027, 15:00 – 15:15 (Europe/London)
Who: Rick <rick@example.com>, Fay Byron <fay@example.com>, guest@example.com <guest@example.com>
Notes: From Fay

Look, move or cancel: http://127.0.0.1:5000/booking/yCW5aop_zeVzUMtXpeMOzA
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Fay Byron
DTSTART:20270105T150000Z
DTEND:20270105T151500Z
DTSTAMP:20270104T070200Z
UID:yCW5aop_zeVzUMtXpeMOzA@calapp
SEQUENCE:0
ATTENDEE;CN="Fay Byron":mailto:fay@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Fay\n\nMove or cancel: http://127.0.0.1:5000/booking/yCW5
 aop_zeVzUMtXpeMOzA
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:02:00.932700',NULL);
INSERT INTO "mail" VALUES(21,1,'yCW5aop_zeVzUMtXpeMOzA','rick@example.com','fay@example.com','New booking: Quick chat between Rick and Fay Byron','Quick chat between Rick and Fay Byron

When: Tuesday, 5 January 2027, 15:00 – 15:15 (UTC)
Who: Rick <rick@example.com>, Fay Byron <fay@example.com>, guest@example.com <guest@example.com>
Notes: From Fay

Look, move or cancel: http://127.0.0.1:5000/bookings/yCW5aop_zeVzUMtXpeMOzA
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Fay Byron
DTSTART:20270105T150000Z
DTEND:20270105T151500Z
DTSTAMP:20270104T070200Z
UID:yCW5aop_zeVzUMtXpeMOzA@calapp
SEQUENCE:0
ATTENDEE;CN="Fay Byron":mailto:fay@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Fay\n\nMove or cancel: http://127.0.0.1:5000/booking/yCW5
 aop_zeVzUMtXpeMOzA
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
','REQUEST',NULL,0,NULL,'2027-01-04 07:02:00.932705',NULL);
INSERT INTO "mail" VALUES(22,1,'yCW5aop_zeVzUMtXpeMOzA','fay@example.com','rick@example.com','Cancelled: Quick chat between Rick and Fay Byron','Quick chat between Rick and Fay Byron

When: Tuesday, 5 January 2027, 15:00 – 15:15 (Europe/London)
Who: Rick <rick@example.com>, Fay Byron <fay@example.com>, guest@example.com <guest@example.com>
Notes: From Fay
Why it was cancelled: Ill

Look: http://127.0.0.1:5000/booking/yCW5aop_zeVzUMtXpeMOzA
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:CANCEL
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Fay Byron
DTSTART:20270105T150000Z
DTEND:20270105T151500Z
DTSTAMP:20270104T070200Z
UID:yCW5aop_zeVzUMtXpeMOzA@calapp
SEQUENCE:1
ATTENDEE;CN="Fay Byron":mailto:fay@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Fay\n\nMove or cancel: http://127.0.0.1:5000/booking/yCW5
 aop_zeVzUMtXpeMOzA
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CANCELLED
END:VEVENT
END:VCALENDAR
','CANCEL',NULL,0,NULL,'2027-01-04 07:02:00.954222',NULL);
INSERT INTO "mail" VALUES(23,1,'yCW5aop_zeVzUMtXpeMOzA','guest@example.com','rick@example.com','Cancelled: Quick chat between Rick and Fay Byron','Quick chat between Rick and Fay Byron

When: Tuesday, 5 January 2027, 15:00 – 15:15 (Europe/London)
Who: Rick <rick@example.com>, Fay Byron <fay@example.com>, guest@example.com <guest@example.com>
Notes: From Fay
Why it was cancelled: Ill

Look: http://127.0.0.1:5000/booking/yCW5aop_zeVzUMtXpeMOzA
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:CANCEL
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Fay Byron
DTSTART:20270105T150000Z
DTEND:20270105T151500Z
DTSTAMP:20270104T070200Z
UID:yCW5aop_zeVzUMtXpeMOzA@calapp
SEQUENCE:1
ATTENDEE;CN="Fay Byron":mailto:fay@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Fay\n\nMove or cancel: http://127.0.0.1:5000/booking/yCW5
 aop_zeVzUMtXpeMOzA
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CANCELLED
END:VEVENT
END:VCALENDAR
','CANCEL',NULL,0,NULL,'2027-01-04 07:02:00.954237',NULL);
INSERT INTO "mail" VALUES(24,1,'yCW5aop_zeVzUMtXpeMOzA','rick@example.com','fay@example.com','Cancelled: Quick chat between Rick and Fay Byron','Quick chat between Rick and Fay Byron

When: Tuesday, 5 January 2027, 15:00 – 15:15 (UTC)
Who: Rick <rick@example.com>, Fay Byron <fay@example.com>, guest@example.com <guest@example.com>
Notes: From Fay
Why it was cancelled: Ill

Look: http://127.0.0.1:5000/bookings/yCW5aop_zeVzUMtXpeMOzA
','BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Calapp//Calapp//EN
CALSCALE:GREGORIAN
METHOD:CANCEL
BEGIN:VEVENT
SUMMARY:Quick chat between Rick and Fay Byron
DTSTART:20270105T150000Z
DTEND:20270105T151500Z
DTSTAMP:20270104T070200Z
UID:yCW5aop_zeVzUMtXpeMOzA@calapp
SEQUENCE:1
ATTENDEE;CN="Fay Byron":mailto:fay@example.com
ATTENDEE;CN=guest@example.com:mailto:guest@example.com
DESCRIPTION:From Fay\n\nMove or cancel: http://127.0.0.1:5000/booking/yCW5
 aop_zeVzUMtXpeMOzA
ORGANIZER;CN=Rick:mailto:rick@example.com
STATUS:CANCELLED
END:VEVENT
END:VCALENDAR
','CANCEL',NULL,0,NULL,'2027-01-04 07:02:00.954242',NULL);
INSERT INTO "mail" VALUES(25,1,NULL,'rick@example.com',NULL,'A webhook needs your attention','The webhook http://receiver.test:80/off:

It answered 410 Gone, which means that it wants no more events; it is switched off.

Its events are parked, not lost. Switch it on again and send them: http://127.0.0.1:5000/integrations#webhooks
',NULL,NULL,NULL,0,NULL,'2027-01-04 07:02:01.090119',NULL);
CREATE TABLE notice (
	id INTEGER NOT NULL, 
	user_id INTEGER NOT NULL, 
	webhook_id INTEGER NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	text TEXT NOT NULL, 
	details JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	mailed_at DATETIME, 
	dismissed_at DATETIME, 
	CONSTRAINT pk_notice PRIMARY KEY (id), 
	CONSTRAINT fk_notice_user_id_user FOREIGN KEY(user_id) REFERENCES user (id), 
	CONSTRAINT fk_notice_webhook_id_webhook FOREIGN KEY(webhook_id) REFERENCES webhook (id)
);
INSERT INTO "notice" VALUES(1,1,4,'switched_off','It answered 410 Gone, which means that it wants no more events; it is switched off.','{"url": "http://receiver.test:80/off", "date": ""}','2027-01-04 07:02:01.086902',NULL,NULL);
CREATE TABLE replay (
	id INTEGER NOT NULL, 
	webhook_id INTEGER NOT NULL, 
	from_at DATETIME NOT NULL, 
	to_at DATETIME NOT NULL, 
	only_failed BOOLEAN NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	cursor INTEGER NOT NULL, 
	total INTEGER NOT NULL, 
	done INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	CONSTRAINT pk_replay PRIMARY KEY (id), 
	CONSTRAINT fk_replay_webhook_id_webhook FOREIGN KEY(webhook_id) REFERENCES webhook (id)
);
INSERT INTO "replay" VALUES(1,2,'2027-01-04 07:00:00.000000','2027-01-04 07:02:01.062756',0,'running',0,1,0,'2027-01-04 07:02:01.063834',NULL);
CREATE TABLE tally (
	metric VARCHAR(40) NOT NULL, 
	event VARCHAR(40) NOT NULL, 
	outcome VARCHAR(40) NOT NULL, 
	value DOUBLE NOT NULL, 
	CONSTRAINT pk_tally PRIMARY KEY (metric, event, outcome)
);
INSERT INTO "tally" VALUES('events','BOOKING_CREATED','',1.0);
INSERT INTO "tally" VALUES('bookings','','',1.0);
INSERT INTO "tally" VALUES('bucket','','0.01',3.0);
INSERT INTO "tally" VALUES('finished','BOOKING_CREATED','delivered',2.0);
INSERT INTO "tally" VALUES('seconds','','',0.009472);
INSERT INTO "tally" VALUES('tries','BOOKING_CREATED','delivered',2.0);
INSERT INTO "tally" VALUES('tries','BOOKING_CREATED','gone',1.0);
CREATE TABLE tally_cursor (
	source VARCHAR(40) NOT NULL, 
	counted INTEGER NOT NULL, 
	seen INTEGER NOT NULL, 
	CONSTRAINT pk_tally_cursor PRIMARY KEY (source)
);
INSERT INTO "tally_cursor" VALUES('event',1,8);
INSERT INTO "tally_cursor" VALUES('booking',1,7);
INSERT INTO "tally_cursor" VALUES('attempt',3,5);
CREATE TABLE user (
	id INTEGER NOT NULL, 
	username VARCHAR(40) NOT NULL, 
	name VARCHAR(100) NOT NULL, 
	email VARCHAR(254) NOT NULL, 
	password_hash VARCHAR(255) NOT NULL, 
	time_zone VARCHAR(64) NOT NULL, 
	session_token VARCHAR(43) NOT NULL, 
	calendar_token VARCHAR(43) NOT NULL, 
	last_event_number INTEGER NOT NULL, 
	checklist_done_at DATETIME, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_user PRIMARY KEY (id), 
	CONSTRAINT uq_user_calendar_token UNIQUE (calendar_token), 
	CONSTRAINT uq_user_username UNIQUE (username)
);
INSERT INTO "user" VALUES(1,'rick','Rick','rick@example.com','scrypt:32768:8:1$3xWTBKo5PUWw4wRM$126c5661c22c12e7718047054eebc9a1cb14f41130516e10222706fe6a2fd058ddd75a4b191f945ac77b14ee46e8453c50df02215061d06c1a0ec9911ec84128','UTC','s-VFwN3W5o_lKa6dA6I43tzVOKxKXPy8ukGRiQQHzNg','Jj5VIflpM9zaKh-4LiCRAW6ekfK5sbItzBJFw2bxBiw',8,NULL,'2027-01-04 07:00:00.327389');
CREATE TABLE webhook (
	id INTEGER NOT NULL, 
	uid VARCHAR(36) NOT NULL, 
	user_id INTEGER NOT NULL, 
	event_type_id INTEGER, 
	api_key_id INTEGER, 
	subscriber_url VARCHAR(2000) NOT NULL, 
	triggers JSON NOT NULL, 
	active BOOLEAN NOT NULL, 
	off_reason VARCHAR(10), 
	off_at DATETIME, 
	settling VARCHAR(10), 
	settling_to INTEGER, 
	payload_template TEXT, 
	headers JSON NOT NULL, 
	secret VARCHAR(500), 
	old_secret VARCHAR(500), 
	old_secret_until DATETIME, 
	failures INTEGER NOT NULL, 
	failing_since DATETIME, 
	hold_until DATETIME, 
	asked_until DATETIME, 
	warnings INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	deleted_at DATETIME, 
	CONSTRAINT pk_webhook PRIMARY KEY (id), 
	CONSTRAINT fk_webhook_api_key_id_api_key FOREIGN KEY(api_key_id) REFERENCES api_key (id), 
	CONSTRAINT fk_webhook_event_type_id_event_type FOREIGN KEY(event_type_id) REFERENCES event_type (id), 
	CONSTRAINT fk_webhook_user_id_user FOREIGN KEY(user_id) REFERENCES user (id), 
	CONSTRAINT uq_webhook_uid UNIQUE (uid)
);
INSERT INTO "webhook" VALUES(1,'bee1b0f3-278c-446d-9951-751ca911478e',1,NULL,NULL,'http://127.0.0.1:5000/hooks/in/gA03q_c2odKQXW3W0mcPYPD4f4QtG0Lw','["BOOKING_CREATED", "BOOKING_RESCHEDULED", "BOOKING_CANCELLED", "BOOKING_REQUESTED", "BOOKING_REJECTED", "BOOKING_NO_SHOW_UPDATED", "MEETING_STARTED", "MEETING_ENDED"]',0,NULL,NULL,NULL,NULL,NULL,'[]','whsec_B9Lv/jqP6zFwJKFpjvsQ8graM4tIZPrlpsXWefIdCIk=',NULL,NULL,0,NULL,NULL,NULL,0,'2027-01-04 07:00:00.345633','2027-01-04 07:00:00.606918','2027-01-04 07:00:00.605426');
INSERT INTO "webhook" VALUES(2,'86ecfbbf-be56-4404-a301-33e2fda76d13',1,NULL,NULL,'http://receiver.test:80/hook','["BOOKING_CREATED", "BOOKING_RESCHEDULED", "BOOKING_CANCELLED", "BOOKING_REQUESTED", "BOOKING_REJECTED", "BOOKING_NO_SHOW_UPDATED", "MEETING_STARTED", "MEETING_ENDED"]',1,NULL,NULL,NULL,NULL,NULL,'[["X-Team", "blue"]]','whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',NULL,NULL,1,'2027-01-04 07:01:00.804642',NULL,NULL,0,'2027-01-04 07:00:00.544312','2027-01-04 07:00:00.544339',NULL);
INSERT INTO "webhook" VALUES(3,'dc281e34-5bf6-400e-b2d2-d7ed07daa7c8',1,1,NULL,'http://receiver.test:80/template','["BOOKING_CREATED", "BOOKING_RESCHEDULED", "BOOKING_CANCELLED", "BOOKING_REQUESTED", "BOOKING_REJECTED", "BOOKING_NO_SHOW_UPDATED", "MEETING_STARTED", "MEETING_ENDED"]',1,NULL,NULL,NULL,NULL,'{"who": "{{attendees.0.name}}", "user": "{{metadata.user_id}}"}','[]',NULL,NULL,NULL,1,'2027-01-04 07:01:00.804642',NULL,NULL,0,'2027-01-04 07:00:00.560753','2027-01-04 07:00:00.560777',NULL);
INSERT INTO "webhook" VALUES(4,'6b658a53-1409-413a-b2c3-ccee6d02502e',1,NULL,NULL,'http://receiver.test:80/off','["BOOKING_CREATED", "BOOKING_RESCHEDULED", "BOOKING_CANCELLED", "BOOKING_REQUESTED", "BOOKING_REJECTED", "BOOKING_NO_SHOW_UPDATED", "MEETING_STARTED", "MEETING_ENDED"]',0,'gone','2027-01-04 07:00:00.748611',NULL,NULL,NULL,'[]','plain secret',NULL,NULL,1,'2027-01-04 07:00:00.748611',NULL,NULL,0,'2027-01-04 07:00:00.571040','2027-01-04 07:00:00.571061',NULL);
CREATE TABLE weekly_hours (
	id INTEGER NOT NULL, 
	user_id INTEGER NOT NULL, 
	weekday INTEGER NOT NULL, 
	start_minute INTEGER NOT NULL, 
	end_minute INTEGER NOT NULL, 
	CONSTRAINT pk_weekly_hours PRIMARY KEY (id), 
	CONSTRAINT ck_weekly_hours_forwards CHECK (start_minute < end_minute), 
	CONSTRAINT fk_weekly_hours_user_id_user FOREIGN KEY(user_id) REFERENCES user (id)
);
INSERT INTO "weekly_hours" VALUES(1,1,0,540,1020);
INSERT INTO "weekly_hours" VALUES(2,1,1,540,1020);
INSERT INTO "weekly_hours" VALUES(3,1,2,540,1020);
INSERT INTO "weekly_hours" VALUES(4,1,3,540,1020);
INSERT INTO "weekly_hours" VALUES(5,1,4,540,1020);
CREATE INDEX ix_api_key_user_id ON api_key (user_id);
CREATE INDEX ix_date_override_user_id ON date_override (user_id);
CREATE INDEX ix_event_to_prune ON event (created_at) WHERE body IS NOT NULL;
CREATE INDEX ix_event_subject ON event (subject);
CREATE UNIQUE INDEX uq_event_type_slug ON event_type (user_id, slug) WHERE deleted_at IS NULL;
CREATE INDEX ix_inspector_request_user_id ON inspector_request (user_id);
CREATE INDEX ix_mail_about ON mail (about);
CREATE INDEX ix_mail_due ON mail (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX ix_mail_user_id ON mail (user_id);
CREATE INDEX ix_weekly_hours_user_id ON weekly_hours (user_id);
CREATE INDEX ix_booking_chain ON booking (chain);
CREATE INDEX ix_booking_event_type_id ON booking (event_type_id);
CREATE INDEX ix_booking_host_start ON booking (host_id, starts_at);
CREATE INDEX ix_booking_to_end ON booking (ends_at) WHERE status = 'accepted' AND ended_at IS NULL;
CREATE INDEX ix_booking_to_forget ON booking (ends_at) WHERE erased_at IS NULL;
CREATE INDEX ix_booking_to_start ON booking (starts_at) WHERE status = 'accepted' AND started_at IS NULL;
CREATE INDEX ix_webhook_settling ON webhook (id) WHERE settling IS NOT NULL;
CREATE UNIQUE INDEX uq_webhook_url_event_type ON webhook (event_type_id, subscriber_url) WHERE deleted_at IS NULL AND event_type_id IS NOT NULL;
CREATE UNIQUE INDEX uq_webhook_url_host ON webhook (user_id, subscriber_url) WHERE deleted_at IS NULL AND event_type_id IS NULL;
CREATE INDEX ix_attendee_booking_id ON attendee (booking_id);
CREATE INDEX ix_attendee_email ON attendee (email);
CREATE INDEX ix_busy_slot_booking_id ON busy_slot (booking_id);
CREATE INDEX ix_delivery_after ON delivery (after_id) WHERE after_id IS NOT NULL;
CREATE INDEX ix_delivery_due ON delivery (webhook_id, due_at, id) WHERE state = 'waiting' AND due_at IS NOT NULL;
CREATE INDEX ix_delivery_event_id ON delivery (event_id);
CREATE INDEX ix_delivery_ended ON delivery (state) WHERE state IN ('failed', 'expired');
CREATE INDEX ix_delivery_log ON delivery (webhook_id, id);
CREATE INDEX ix_delivery_next ON delivery (due_at) WHERE state = 'waiting' AND due_at IS NOT NULL;
CREATE INDEX ix_delivery_open_chain ON delivery (webhook_id, chain, id) WHERE state = 'waiting';
CREATE INDEX ix_delivery_parked ON delivery (webhook_id, id) WHERE state = 'parked';
CREATE INDEX ix_delivery_parked_chain ON delivery (webhook_id, chain) WHERE state = 'parked';
CREATE INDEX ix_notice_user_id ON notice (user_id);
CREATE INDEX ix_replay_webhook_id ON replay (webhook_id);
CREATE INDEX ix_attempt_at ON attempt (at);
CREATE INDEX ix_attempt_delivery_id ON attempt (delivery_id);
CREATE INDEX ix_attempt_health ON attempt (webhook_id, at);
COMMIT;
