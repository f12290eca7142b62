-- A run that the version before wrote (schema 2; see tests/store/test_migration.py), dumped as SQL: five tasks, five recipes, both
-- kinds of undecided outcomes, failures, two filter sets and advice. Its configuration is in `configurations`.
BEGIN TRANSACTION;
CREATE TABLE advice (                -- the objective that fits a pair, by comparing its winner with fresh answers of the target
    pair_id TEXT PRIMARY KEY, objective TEXT NOT NULL CHECK (objective IN ('apo-zero', 'apo-down')),
    confidence REAL NOT NULL, wins INTEGER NOT NULL, losses INTEGER NOT NULL, ties INTEGER NOT NULL,
    judged_by TEXT NOT NULL, advised_at TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "advice" VALUES('226bb1403112ac9f9ce54e9401a18cd7','apo-zero',1.0,1,0,0,'judge judge-model','2026-11-26T15:00:18.628+00:00');
INSERT INTO "advice" VALUES('8951f7017a1ad33a588678e7d15bdd61','apo-zero',1.0,1,0,0,'judge judge-model','2026-11-26T15:00:18.621+00:00');
INSERT INTO "advice" VALUES('995a94c35faffed3397f29a3ea20da16','apo-zero',1.0,1,0,0,'judge judge-model','2026-11-26T15:00:18.628+00:00');
INSERT INTO "advice" VALUES('c2e0890166f592209e222728efef88f9','apo-zero',1.0,1,0,0,'judge judge-model','2026-11-26T15:00:18.621+00:00');
CREATE TABLE attempts (              -- tries that gave no completion; billed tells whether they may have cost money
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, role TEXT NOT NULL, model TEXT NOT NULL, endpoint TEXT NOT NULL,
    reason TEXT NOT NULL, detail TEXT NOT NULL, status INTEGER, billed INTEGER NOT NULL, latency_seconds REAL NOT NULL,
    created_at TEXT NOT NULL
);
INSERT INTO "attempts" VALUES(1,'31bb7f73b23b2a0beea8638edbf48a5654760a78e219e30b8d43ca01988c9892','stronger','stronger-model','http://127.0.0.1:9/v1','bad-request','the prompt is not welcome',400,0,1.09804779999649326782e-02,'2026-11-26T15:00:18.304+00:00');
INSERT INTO "attempts" VALUES(2,'31bb7f73b23b2a0beea8638edbf48a5654760a78e219e30b8d43ca01988c9892','stronger','stronger-model','http://127.0.0.1:9/v1','bad-request','the prompt is not welcome',400,0,7.706991000077323406e-03,'2026-11-26T15:00:18.336+00:00');
CREATE TABLE completions (           -- good answers only, for ever
    key TEXT PRIMARY KEY, role TEXT NOT NULL, model TEXT NOT NULL, revision TEXT, sample INTEGER NOT NULL,
    parameters TEXT NOT NULL, messages TEXT NOT NULL, template TEXT, text TEXT NOT NULL, finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, latency_seconds REAL NOT NULL, endpoint TEXT NOT NULL,
    response_id TEXT, cost_usd REAL, created_at TEXT NOT NULL, reused_from TEXT
);
INSERT INTO "completions" VALUES('5fc607dadc58e089f61c8ca158fdcb9cc04082750751e44b59ed95c6e3b84d2b','target','target-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','5226b9355f19bdc8f11faa91fd4162628dcf60169683662a4358f0f68335b442',NULL,'An answer to Question one, draft 5','stop',9,10,0.034361047999937,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.303+00:00',NULL);
INSERT INTO "completions" VALUES('6002edaacfdef1d70a1146ef92dae08b6767cbab09f329655b85fcda0f92e1f8','judge','judge-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0}','07fa5c01759bd66ff0058f1ca30874a88fdf74347efb31c6a4054dfd8f6f712a','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','{teacher_reasoning}: longer. [2]','stop',50,5,1.46101590000853320816e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.303+00:00',NULL);
INSERT INTO "completions" VALUES('4e690b56a7bde28c9f6c1ee7bd465a5ac4833fb583b57a32973905aebd904407','stronger','stronger-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','5226b9355f19bdc8f11faa91fd4162628dcf60169683662a4358f0f68335b442',NULL,'There are many things to say of Question one','stop',9,12,1.44994580000457062851e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.303+00:00',NULL);
INSERT INTO "completions" VALUES('5366a9b13ffe704bd1a7010a0a3e106b6d3ad4e5501feeac1a99e480b432a1e7','target','target-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','622fb0a7b864dcedc1c9c5a5a49edbc2662ba60b56efcfdd48195cd4d29e0a20',NULL,'An answer to Question two, draft 1!!!!','stop',9,10,1.4446596999960092944e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.303+00:00',NULL);
INSERT INTO "completions" VALUES('aa14e3b590d59d8ff8e93413e8b2363de52bef36a4d83b8117065cc2016a1475','judge','judge-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0}','66b1c0da23efeec53e1edd425d23a8e9e291aeef70ad872e32d44f0670228737','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','[1]','stop',10,5,0.0144002840002031,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.303+00:00',NULL);
INSERT INTO "completions" VALUES('ae3c65ba3b6949069f226bdaeff533f453a6f7c750a281a37e4e80c148450524','stronger','stronger-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','622fb0a7b864dcedc1c9c5a5a49edbc2662ba60b56efcfdd48195cd4d29e0a20',NULL,'There are many things to say of Question two','stop',9,12,1.43348030001106963027e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.303+00:00',NULL);
INSERT INTO "completions" VALUES('d10281d80953b50643b067d23d32cad03b93e741fa2ed9c9693b614b07211203','target','target-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','06603b77c71fe4a07fb8a5c04444419334bae55acc0bf01c0b39db4e69e45b17',NULL,'An answer to Question three, draft 1','stop',9,10,1.42857069999990926589e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.303+00:00',NULL);
INSERT INTO "completions" VALUES('7cd4ff59ca24c826344e500df9e0ed030a193f86f1a3a477a4298807d35d6857','judge','judge-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0}','50091fb2a60c3ab17d50c1dff708f5699407dbff9ef538f206233c00ea39c25a','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','Both are equally good.','stop',10,5,1.42309190000560192856e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.303+00:00',NULL);
INSERT INTO "completions" VALUES('b6f352542a00963a6b3be702b310879b6f30b5ab2fa1ac821cc27326dd34c139','stronger','stronger-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','06603b77c71fe4a07fb8a5c04444419334bae55acc0bf01c0b39db4e69e45b17',NULL,'There are many things to say of Question three','stop',9,12,1.419375999989824777e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.303+00:00',NULL);
INSERT INTO "completions" VALUES('035894e3dfe35152a3490b38bf674860532cd818b9208b4f94a73594339e8175','target','target-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','89a2e6a0087e4d3af66b11adaed493fe1298fc7e2f295eee993cd9bb0915df4f',NULL,'An answer to Question four, draft 3!','stop',9,10,1.41496999999617401044e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.303+00:00',NULL);
INSERT INTO "completions" VALUES('7d7c1652b832656e62dc672a9f8536e87e015570842eaef49df5dea26e760664','judge','judge-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0}','222b81a8ff88b534fbfe18d9d4da35ef1bb135c811dbf9802a832f25e5508df7','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','<think> I cannot','stop',10,5,1.40502179999657528242e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.303+00:00',NULL);
INSERT INTO "completions" VALUES('ff36671db55031994f12e95e8b45ccfb2f9d70ebb50c9d1b9a7f920e4f15136e','stronger','stronger-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','89a2e6a0087e4d3af66b11adaed493fe1298fc7e2f295eee993cd9bb0915df4f',NULL,'There are many things to say of Question four','stop',9,12,1.12373429999479412799e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.303+00:00',NULL);
INSERT INTO "completions" VALUES('51ec081615430c0c95ecf8dfeef096eee4f498f70461172ae8e42108f0795f3d','target','target-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','f96415882083e34702cb42ff5a1392e54771599fbb37a1e07e720fa5883f84b9',NULL,'An answer to Question five, draft 4!','stop',9,10,1.11222149998866370879e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.303+00:00',NULL);
INSERT INTO "completions" VALUES('6c4ba1b1cc16cd4439c48458667bf77cb69e22254a5670a88258095f8515683f','judge','judge-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0}','713592fdbd128a80f15998a73fada13eebac8446b8631a9ebe037989936425db','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','{teacher_reasoning}: longer. [1]','stop',50,5,1.10512680000738328089e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.304+00:00',NULL);
INSERT INTO "completions" VALUES('bf931066a31ab32c49e7cf06acfa38c07d69df689da57c8297867e9300e09574','reviser','reviser-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','0fc4230112b822ab45d54b4a621cc33a819e6b65086eb25407ccddd166251a79','90cbc6aba476ff9343599ec66a17e55eda4dfe512bdd840fd07bf224a2d743da','{teacher_reasoning}: weak

{corrected_student_solution}: An answer to Question one, draft 5, now better','stop',90,30,1.21809030001713836099e-02,'http://127.0.0.1:9/v1','chatcmpl-1',0.0018,'2026-11-26T15:00:18.329+00:00',NULL);
INSERT INTO "completions" VALUES('d7def7f87d6acfd7c7822f62f41e21792e2869180162454842ae324a0bb1803d','reviser','reviser-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','f940385d998f5cdfd97e29d482275dcb1b7cba8f3b1a9cafae405b562ae600ec','d4a359f982dad62fba7febc56dfd035c6d3c1dcccb82a8e2ea859651340d064b','There are some things to say of Question one','stop',10,5,1.21203690000584174413e-02,'http://127.0.0.1:9/v1','chatcmpl-1',0.00025,'2026-11-26T15:00:18.329+00:00',NULL);
INSERT INTO "completions" VALUES('24e941025485dcfcf5c1f9a0f33f5f1e9f1099fcb506613064a192b8f0c6852a','reviser','reviser-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','fd1bd897fe7c4f2b4426e815d42647694dd5e87fbe35ff4fd1b1884dd41f48b7','90cbc6aba476ff9343599ec66a17e55eda4dfe512bdd840fd07bf224a2d743da','I would rather not.','stop',90,6,1.20672210000520863104e-02,'http://127.0.0.1:9/v1','chatcmpl-1',0.00108,'2026-11-26T15:00:18.329+00:00',NULL);
INSERT INTO "completions" VALUES('b5b38723da85006b583ed1ea6f2815fe5266384f8815efd6a26f934526afcc64','reviser','reviser-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','0f08126c028aa61a70022826c9b592666e86bb45a507a3ba20d844cdb2bd4fbc','d4a359f982dad62fba7febc56dfd035c6d3c1dcccb82a8e2ea859651340d064b','There are some things to say of Question two','stop',10,5,1.20390449999376869527e-02,'http://127.0.0.1:9/v1','chatcmpl-1',0.00025,'2026-11-26T15:00:18.329+00:00',NULL);
INSERT INTO "completions" VALUES('9b5f9a947cc8023fecfd0a88ae6568b7accaf680428872c16722531486c216f3','reviser','reviser-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','5fdf3d09d86c605ed6bf7129bf170a22c774252bfc53fb4857a1281f88229469','90cbc6aba476ff9343599ec66a17e55eda4dfe512bdd840fd07bf224a2d743da','{teacher_reasoning}: it','length',10,5,1.20113000000401370925e-02,'http://127.0.0.1:9/v1','chatcmpl-1',0.00025,'2026-11-26T15:00:18.329+00:00',NULL);
INSERT INTO "completions" VALUES('5b0718ec46d261ceb4a96c3e24e7abbf7f824b4a98dc303de1da77fa97627305','reviser','reviser-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','eb0281a81ed88ad68c9f9131c00afeab5bc2cb457f5794e3fd7e83b07761a615','d4a359f982dad62fba7febc56dfd035c6d3c1dcccb82a8e2ea859651340d064b','There are some things to say of Question three','stop',10,5,1.19885490000797290122e-02,'http://127.0.0.1:9/v1','chatcmpl-1',0.00025,'2026-11-26T15:00:18.329+00:00',NULL);
INSERT INTO "completions" VALUES('0ca37a098b0e8bbc5ae45cc79e61ce73e72a3067cacb434382c9b32bd64e5291','reviser','reviser-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','ba1188bf556a4406b37a31e37aa5094dfd104f580141834e774a2ca67843524e','90cbc6aba476ff9343599ec66a17e55eda4dfe512bdd840fd07bf224a2d743da','{teacher_reasoning}: weak

{corrected_student_solution}: An answer to Question four, draft 3!An answer to Question four, draft 3!An answer to Question four, draft 3!','stop',90,30,9.67531699984647275414e-03,'http://127.0.0.1:9/v1','chatcmpl-1',0.0018,'2026-11-26T15:00:18.330+00:00',NULL);
INSERT INTO "completions" VALUES('ea2e282bd1a9bc78e3af60e9e7d14fedb3d382f4317571500187a04582904a40','reviser','reviser-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','ef7cc313b6b0bdc257cf946b2fbacb004e2725d02166932803dbaf07487e518d','d4a359f982dad62fba7febc56dfd035c6d3c1dcccb82a8e2ea859651340d064b','There are some things to say of Question four','stop',10,5,9.65124899994407314807e-03,'http://127.0.0.1:9/v1','chatcmpl-1',0.00025,'2026-11-26T15:00:18.330+00:00',NULL);
INSERT INTO "completions" VALUES('cd26d6fe69f209316160781a26369dcdbc242bea31db4555da0f087eebb5cf11','reviser','reviser-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0.7}','e6d0fe313afe40e6bacf33169adc088359b4b2ece36795d6711d05ec88e089ab','90cbc6aba476ff9343599ec66a17e55eda4dfe512bdd840fd07bf224a2d743da','<think> I cannot','stop',10,5,9.66042999993987905327e-03,'http://127.0.0.1:9/v1','chatcmpl-1',0.00025,'2026-11-26T15:00:18.330+00:00',NULL);
INSERT INTO "completions" VALUES('cdd2be8f971a8a971df28f014b20cd064dbdb4e9d0e944ae023dac1bcbf0e198','target','target-model',NULL,1,'{"max_tokens":100,"seed":0,"temperature":0.7}','5226b9355f19bdc8f11faa91fd4162628dcf60169683662a4358f0f68335b442',NULL,'An answer to Question one, draft 0!!!','stop',9,10,0.00931331600008889,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.330+00:00',NULL);
INSERT INTO "completions" VALUES('6c477c775cff79726dd0ba3feffdb6fee3a3b5b4b17822d7acaa4a587a5fc3d0','target','target-model',NULL,1,'{"max_tokens":100,"seed":0,"temperature":0.7}','622fb0a7b864dcedc1c9c5a5a49edbc2662ba60b56efcfdd48195cd4d29e0a20',NULL,'An answer to Question two, draft 5!','stop',9,10,8.76827000001867418177e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.330+00:00',NULL);
INSERT INTO "completions" VALUES('38d7ddf36f0d7101c133fa205daa96e9b3e021aad144ab743f7b3e9d42467777','target','target-model',NULL,1,'{"max_tokens":100,"seed":0,"temperature":0.7}','06603b77c71fe4a07fb8a5c04444419334bae55acc0bf01c0b39db4e69e45b17',NULL,'An answer to Question three, draft 6!!!!','stop',9,10,8.38045800014697306323e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.330+00:00',NULL);
INSERT INTO "completions" VALUES('c07506d9e89cc8b291cb8873adf7610bb0a1c1ccd8d022c7a289f5437a44790b','target','target-model',NULL,1,'{"max_tokens":100,"seed":0,"temperature":0.7}','89a2e6a0087e4d3af66b11adaed493fe1298fc7e2f295eee993cd9bb0915df4f',NULL,'An answer to Question four, draft 1!','stop',9,10,7.99518399981025140732e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.330+00:00',NULL);
INSERT INTO "completions" VALUES('d990402dccfaa4464b29751cc2dcb2209539bf06148ad240ca6613f506438420','target','target-model',NULL,1,'{"max_tokens":100,"seed":0,"temperature":0.7}','f96415882083e34702cb42ff5a1392e54771599fbb37a1e07e720fa5883f84b9',NULL,'An answer to Question five, draft 2!!!','stop',9,10,7.70562399998198088724e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.330+00:00',NULL);
INSERT INTO "completions" VALUES('45faeffb5c335cf60bcbf2550fa85c9ebf7e4411bf059fe9b05b67be9e6cd6b5','reviser','reviser-model',NULL,1000000,'{"max_tokens":100,"seed":0,"temperature":0.7}','0fc4230112b822ab45d54b4a621cc33a819e6b65086eb25407ccddd166251a79','90cbc6aba476ff9343599ec66a17e55eda4dfe512bdd840fd07bf224a2d743da','{teacher_reasoning}: weak

{corrected_student_solution}: An answer to Question one, draft 5, now better','stop',90,30,9.19384700000591692514e-03,'http://127.0.0.1:9/v1','chatcmpl-1',0.0018,'2026-11-26T15:00:18.360+00:00',NULL);
INSERT INTO "completions" VALUES('4d43affa6c77bb6d330ba5262d219288103334e2d53dec1f0101cf16159227d7','reviser','reviser-model',NULL,1000000,'{"max_tokens":100,"seed":0,"temperature":0.7}','fd1bd897fe7c4f2b4426e815d42647694dd5e87fbe35ff4fd1b1884dd41f48b7','90cbc6aba476ff9343599ec66a17e55eda4dfe512bdd840fd07bf224a2d743da','I would rather not.','stop',90,6,9.08583599994017276912e-03,'http://127.0.0.1:9/v1','chatcmpl-1',0.00108,'2026-11-26T15:00:18.360+00:00',NULL);
INSERT INTO "completions" VALUES('cc6da200babcf4009775076e3587263f7f5e35b9c17b9d11226610a24ddf62c9','reviser','reviser-model',NULL,1000000,'{"max_tokens":100,"seed":0,"temperature":0.7}','5fdf3d09d86c605ed6bf7129bf170a22c774252bfc53fb4857a1281f88229469','90cbc6aba476ff9343599ec66a17e55eda4dfe512bdd840fd07bf224a2d743da','{teacher_reasoning}: it','length',10,5,9.04405699998278578277e-03,'http://127.0.0.1:9/v1','chatcmpl-1',0.00025,'2026-11-26T15:00:18.360+00:00',NULL);
INSERT INTO "completions" VALUES('d27d0405712ca97975f9b6277ceaed17c9e998bcb0bbb825598f24e7cb956523','reviser','reviser-model',NULL,1000000,'{"max_tokens":100,"seed":0,"temperature":0.7}','ba1188bf556a4406b37a31e37aa5094dfd104f580141834e774a2ca67843524e','90cbc6aba476ff9343599ec66a17e55eda4dfe512bdd840fd07bf224a2d743da','{teacher_reasoning}: weak

{corrected_student_solution}: An answer to Question four, draft 3!An answer to Question four, draft 3!An answer to Question four, draft 3!','stop',90,30,9.17579400015711144078e-03,'http://127.0.0.1:9/v1','chatcmpl-1',0.0018,'2026-11-26T15:00:18.360+00:00',NULL);
INSERT INTO "completions" VALUES('9edae4d2e444a4d0260e374ab82d2e259aa4061c76dc4f6f6a271a9828a89f6f','reviser','reviser-model',NULL,1000000,'{"max_tokens":100,"seed":0,"temperature":0.7}','e6d0fe313afe40e6bacf33169adc088359b4b2ece36795d6711d05ec88e089ab','90cbc6aba476ff9343599ec66a17e55eda4dfe512bdd840fd07bf224a2d743da','<think> I cannot','stop',10,5,9.16968900014580867718e-03,'http://127.0.0.1:9/v1','chatcmpl-1',0.00025,'2026-11-26T15:00:18.361+00:00',NULL);
INSERT INTO "completions" VALUES('e9ef14b9e99fa4b9c531c8f2d7109edd7926c9a63169f5a515201513266479fa','judge','judge-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0}','50afcc81cd26d9ca93835856145740fcdfa1de036ff6d6541de52f4eaa1eff46','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','{teacher_reasoning}: longer. [2]','stop',50,5,4.60140099994532647542e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.361+00:00',NULL);
INSERT INTO "completions" VALUES('9e30e122b033b6caabb0f6df5bef367014946368951d0221163e7cb40014b027','judge','judge-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0}','7d69b54d7d47853a6712013f874dbe8b50daa137cc8d858379c2480c35c05af7','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','[1]','stop',10,5,4.47189900000921625178e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.361+00:00',NULL);
INSERT INTO "completions" VALUES('c3097d6b29ada8bf37e091811777be40ee93a4a896aa22b1b90d2c7ddf5ab175','judge','judge-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0}','f40b1ef6ed8c51d9f5c87b0799a24693d17dc7b00bbe8c848abd9ced17592594','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','Both are equally good.','stop',10,5,4.44931900005940406117e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.361+00:00',NULL);
INSERT INTO "completions" VALUES('184ececd11e5bfbefb4e8ac3c776d6a3e9ff44951589211058ddf2e0dfb989a3','judge','judge-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0}','ffee4960e97f53c58f3efb51e5ca6c2b3b060e195dcfb3be720ec16647c1a275','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','{teacher_reasoning}: longer. [2]','stop',50,5,4.43198700008906598668e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.361+00:00',NULL);
INSERT INTO "completions" VALUES('5bc68a701c6ead2647cfa309233da72dd227da947abb888f51e8a04b97354503','judge','judge-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0}','9ff78b327b1376ea4ea0b95fae114704b4c7b28dcff5075939dd3bd893e6f3b6','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','{teacher_reasoning}: longer. [2]','stop',50,5,4.3525790001694986131e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.361+00:00',NULL);
INSERT INTO "completions" VALUES('d70a5e5b4229b04b9a51a726c7594791c672d51291b6e935549c1e20ea540966','judge','judge-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0}','641565a732296d3b5723517f046870c765b832674c43c28bd538a06b91a02d14','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','{teacher_reasoning}: longer. [1]','stop',50,5,1.42351099998450081329e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.390+00:00',NULL);
INSERT INTO "completions" VALUES('084e5071e4b04ed2c97bdb175c3afba13922fdb5121c0f5f46be25fa2fc84704','judge','judge-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0}','a419ae44f0a8fab662edb2526ec1e9070531017a20dc3ad23118150bd72beea9','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','[1]','stop',10,5,1.39809799998147354926e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.390+00:00',NULL);
INSERT INTO "completions" VALUES('d625e6c54fa6424cd028e1d9004112c110b4a8c6a3c95bc220223f9325075a64','judge','judge-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0}','41164adc11eb9b3f797cb61ad5de200a838bd6fe1a88f6d4ad23f667ab0029a5','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','Both are equally good.','stop',10,5,1.38013500009037670679e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.390+00:00',NULL);
INSERT INTO "completions" VALUES('b51bcbb26fdfaa88473be2e71252710c33ed11fff50d51ebbb9d129c2fbb747b','judge','judge-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0}','7dff7d29f77e00888bba2957523942092ca85e92e75cad685e607e97fbb3bf61','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','{teacher_reasoning}: longer. [2]','stop',50,5,1.36459199984528822824e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.390+00:00',NULL);
INSERT INTO "completions" VALUES('7c8f0d8bcf41dbd4c460e91401ccff77ade347e11d83a8b63c83dfae3b423f4b','judge','judge-model',NULL,0,'{"max_tokens":100,"seed":0,"temperature":0}','476cb7eef4bb3ebbb3363fc8a9c5d977a16873dfef59d0165772d5776241bd0f','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','{teacher_reasoning}: longer. [1]','stop',50,5,1.3496420001501974184e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.390+00:00',NULL);
INSERT INTO "completions" VALUES('f0505169ee3ce460f9f9f20d017824cad3618bbbc75b84b742509bcba2cb1232','target','target-model',NULL,2000000,'{"max_tokens":100,"seed":0,"temperature":0.7}','5226b9355f19bdc8f11faa91fd4162628dcf60169683662a4358f0f68335b442',NULL,'An answer to Question one, draft 0','stop',9,10,2.39832190000015543773e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.561+00:00',NULL);
INSERT INTO "completions" VALUES('bce358b4cdd2c7a8eb0cf7bcca92fad1d2fe2c1640cc8c266fa846c78be7470b','target','target-model',NULL,2000000,'{"max_tokens":100,"seed":0,"temperature":0.7}','622fb0a7b864dcedc1c9c5a5a49edbc2662ba60b56efcfdd48195cd4d29e0a20',NULL,'An answer to Question two, draft 4!','stop',9,10,1.03486989999055367661e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.561+00:00',NULL);
INSERT INTO "completions" VALUES('f5a5faea839cdd75e555e028ef72cf7522502f3caee895d6f7ec06778747e331','target','target-model',NULL,2000000,'{"max_tokens":100,"seed":0,"temperature":0.7}','06603b77c71fe4a07fb8a5c04444419334bae55acc0bf01c0b39db4e69e45b17',NULL,'An answer to Question three, draft 6!!!!','stop',9,10,1.02778149998812295962e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.561+00:00',NULL);
INSERT INTO "completions" VALUES('2e7c887783cbe38966e6ed52fcc65ecdfe7ca1d9035762b1a322035ca92ff19d','target','target-model',NULL,2000000,'{"max_tokens":100,"seed":0,"temperature":0.7}','89a2e6a0087e4d3af66b11adaed493fe1298fc7e2f295eee993cd9bb0915df4f',NULL,'An answer to Question four, draft 6!!!!','stop',9,10,1.0237314000050901086e-02,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.561+00:00',NULL);
INSERT INTO "completions" VALUES('82dd8307a3370150a74554a80abfd244d78a433c57dc8890a397b84ff614792f','judge','judge-model',NULL,2000000,'{"max_tokens":100,"seed":0,"temperature":0}','358edc472ef6e04ce623f9e25c6737a57b6658209d2bd8d15423eece2ab73322','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','{teacher_reasoning}: longer. [1]','stop',50,5,4.27554700013388355728e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.582+00:00',NULL);
INSERT INTO "completions" VALUES('8ae7cb057fd77dd480e72e1f8f46bb46445f52501c52b5b3977ca6350d252647','judge','judge-model',NULL,2000000,'{"max_tokens":100,"seed":0,"temperature":0}','3cd46d9c02a3f1e758662b9de24b324d3c4b5a72ef184cace469a09cda476e17','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','[1]','stop',10,5,1.45963500017387559637e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.582+00:00',NULL);
INSERT INTO "completions" VALUES('4fc8d6bc81b987b70a6ec89d9de9575ef8bd64b86ca5847d5bd65d43f4f9fc9f','judge','judge-model',NULL,2000000,'{"max_tokens":100,"seed":0,"temperature":0}','e05c50fd0d7cd6d26475f09562aea6bc37f894744ac86da595e7000060564f31','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','Both are equally good.','stop',10,5,1.35889699981817102525e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.582+00:00',NULL);
INSERT INTO "completions" VALUES('b27176cca9cf80e03140bf7f5c9cd723f722411311c7f6aa3721904383e8212b','judge','judge-model',NULL,2000000,'{"max_tokens":100,"seed":0,"temperature":0}','13c771c3953c180fa6e349887edd78ae6691faac433e26328cf9fc30025cfe29','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','{teacher_reasoning}: longer. [1]','stop',50,5,1.29499800004850840196e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.582+00:00',NULL);
INSERT INTO "completions" VALUES('bac782b52bd88e276e2b29af7a36482781b1e27f60b14bf25e5752bd25e6cfb3','judge','judge-model',NULL,2000000,'{"max_tokens":100,"seed":0,"temperature":0}','5b2f444a718602f18619d47274f30a88fb6fe9c09d23e1c748e0daf6d7b81f4e','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','{teacher_reasoning}: longer. [2]','stop',50,5,6.94056800011821906082e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.600+00:00',NULL);
INSERT INTO "completions" VALUES('3ab080b43f55fef2151ffec9c6808a1d9f86f848fe1d02eccde423d1c3543082','judge','judge-model',NULL,2000000,'{"max_tokens":100,"seed":0,"temperature":0}','75c6562e3481ba4a5d233870435d1fcae829b10bc1848a80da5415bd15c68cc2','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','[1]','stop',10,5,0.00430088699999942,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.600+00:00',NULL);
INSERT INTO "completions" VALUES('d366c1e7bef2a401786c765013a0c4f7d9001b85d6f57962e198f211fce1a13f','judge','judge-model',NULL,2000000,'{"max_tokens":100,"seed":0,"temperature":0}','3c802d8bcf783ede1a52a95707589119d54e74a5a4d47d0620128fa5ceda954d','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','Both are equally good.','stop',10,5,7.88629199996648821979e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.604+00:00',NULL);
INSERT INTO "completions" VALUES('8d98492c9e5dcc60f6a2c1742553d6719821892c484e7bad5e5cbf4ac24dbdeb','judge','judge-model',NULL,2000000,'{"max_tokens":100,"seed":0,"temperature":0}','fddc1cf9f8a7decc52b44520524583b2903c12e3b7f177a2180811d0545c186b','7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','{teacher_reasoning}: longer. [2]','stop',50,5,7.91695899988553719595e-03,'http://127.0.0.1:9/v1','chatcmpl-1',NULL,'2026-11-26T15:00:18.604+00:00',NULL);
CREATE TABLE configurations (        -- every resolved configuration that was generated with
    id INTEGER PRIMARY KEY, created_at TEXT NOT NULL, yaml TEXT NOT NULL
);
INSERT INTO "configurations" VALUES(1,'2026-11-26T15:00:18.236+00:00','recipes:
- name: clair
  template: revise-length-neutral
- name: judge-on-policy
  order: both
- name: judge-off-policy
- name: stronger-preferred
- name: worsened
seed: 0
tasks:
  path: tasks.jsonl
  split: train
  answers:
  - a
  - b
models:
  judge:
    model: judge-model
    endpoints:
    - http://127.0.0.1:9/v1
    temperature: 0.0
    max_tokens: 100
    stop: []
    send_seed: true
    extra: {}
    weights: []
    timeout_seconds: 600.0
    connect_seconds: 15.0
    patience_seconds: 300.0
    burst: 1.0
  reviser:
    model: reviser-model
    endpoints:
    - http://127.0.0.1:9/v1
    temperature: 0.7
    max_tokens: 100
    stop: []
    send_seed: true
    extra: {}
    weights: []
    timeout_seconds: 600.0
    connect_seconds: 15.0
    patience_seconds: 300.0
    burst: 1.0
    price_per_million:
      input: 10.0
      output: 30.0
  stronger:
    model: stronger-model
    endpoints:
    - http://127.0.0.1:9/v1
    temperature: 0.7
    max_tokens: 100
    stop: []
    send_seed: true
    extra: {}
    weights: []
    timeout_seconds: 600.0
    connect_seconds: 15.0
    patience_seconds: 300.0
    burst: 1.0
  target:
    model: target-model
    endpoints:
    - http://127.0.0.1:9/v1
    temperature: 0.7
    max_tokens: 100
    stop: []
    send_seed: true
    extra: {}
    weights: []
    timeout_seconds: 600.0
    connect_seconds: 15.0
    patience_seconds: 300.0
    burst: 1.0
filters:
  format:
    action: drop
  truncated:
    action: drop
  empty:
    action: drop
  identical:
    action: drop
  length_ratio:
    bounds:
    - 0.5
    - 2.0
  jaccard: {}
  levenshtein: {}
  allusion:
    action: mark
  lost_answer:
    action: mark
  refusal:
    action: mark
  language:
    action: mark
  contamination:
    action: mark
    files: []
    ngram: 13
  near_duplicate:
    action: ''off''
    threshold: 0.8
tokeniser: treebank
');
CREATE TABLE failures (              -- pairs that could not be made, until they are; `generate --retry-failed` takes them up
    pair_id TEXT PRIMARY KEY, task_id TEXT NOT NULL, recipe TEXT NOT NULL, role TEXT, reason TEXT NOT NULL,
    detail TEXT NOT NULL, failed_at TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "failures" VALUES('3d9f2fed1b4bb1466d19e7b7503305ae','task-5','stronger-preferred','stronger','bad-request','the prompt is not welcome','2026-11-26T15:00:18.350+00:00');
INSERT INTO "failures" VALUES('7861230d21c96dc54be5bf81944f6fb6','task-5','worsened','stronger','bad-request','the prompt is not welcome','2026-11-26T15:00:18.314+00:00');
CREATE TABLE filter_results (        -- what the filters of a set found; a pair without a row passed
    filter_set INTEGER NOT NULL, pair_id TEXT NOT NULL, position INTEGER NOT NULL, filter TEXT NOT NULL,
    action TEXT NOT NULL, reason TEXT NOT NULL, value, PRIMARY KEY (filter_set, pair_id, position)
) WITHOUT ROWID;
INSERT INTO "filter_results" VALUES(1,'39a588ea6b6cb0acba7dd9ef50ede96c',0,'length_ratio','mark','length-ratio-above',2.4285714285714283811e+00);
INSERT INTO "filter_results" VALUES(1,'5ccdac80aaed5c3f4754798cc5a1626a',0,'length_ratio','drop','length-ratio-above',3.0);
INSERT INTO "filter_results" VALUES(1,'84d222b30ad03a35cc257b97236eaa91',0,'format','drop','declared-tie',NULL);
INSERT INTO "filter_results" VALUES(1,'8bed2b651a9ba81002fcc176cf4bc32b',0,'length_ratio','mark','length-ratio-above',2.4285714285714283811e+00);
INSERT INTO "filter_results" VALUES(1,'b0de2df78c6d0077ad0273a7d5649ad6',0,'format','drop','no-solution-header',NULL);
INSERT INTO "filter_results" VALUES(1,'bd22665474918256ccf546588c5eae2f',0,'format','drop','unclosed-thinking',NULL);
INSERT INTO "filter_results" VALUES(1,'c29427bb95c6a39214842611853c1aa4',0,'format','drop','declared-tie',NULL);
INSERT INTO "filter_results" VALUES(1,'d640dbc7fb89cd5d92d626556a8f586e',0,'length_ratio','mark','length-ratio-above',2.4285714285714283811e+00);
INSERT INTO "filter_results" VALUES(1,'d69f4ab3dc96d2bea03e711e76153333',0,'format','drop','tie-between-orders',NULL);
INSERT INTO "filter_results" VALUES(1,'d75ba6fb84491a4943c7484e0cfac4de',0,'truncated','drop','chosen-truncated',NULL);
INSERT INTO "filter_results" VALUES(1,'d75ba6fb84491a4943c7484e0cfac4de',1,'format','drop','no-solution-header',NULL);
INSERT INTO "filter_results" VALUES(1,'e6fb3bfa9c184b7a0b58658435094731',0,'format','drop','unclosed-thinking',NULL);
INSERT INTO "filter_results" VALUES(1,'facad6449e7f76107c76437c7a2bd1f8',0,'format','drop','tie-between-orders',NULL);
INSERT INTO "filter_results" VALUES(2,'39a588ea6b6cb0acba7dd9ef50ede96c',0,'length_ratio','mark','length-ratio-above',2.4285714285714283811e+00);
INSERT INTO "filter_results" VALUES(2,'5ccdac80aaed5c3f4754798cc5a1626a',0,'length_ratio','mark','length-ratio-above',3.0);
INSERT INTO "filter_results" VALUES(2,'84d222b30ad03a35cc257b97236eaa91',0,'format','drop','declared-tie',NULL);
INSERT INTO "filter_results" VALUES(2,'8bed2b651a9ba81002fcc176cf4bc32b',0,'length_ratio','mark','length-ratio-above',2.4285714285714283811e+00);
INSERT INTO "filter_results" VALUES(2,'b0de2df78c6d0077ad0273a7d5649ad6',0,'format','drop','no-solution-header',NULL);
INSERT INTO "filter_results" VALUES(2,'bd22665474918256ccf546588c5eae2f',0,'format','drop','unclosed-thinking',NULL);
INSERT INTO "filter_results" VALUES(2,'c29427bb95c6a39214842611853c1aa4',0,'format','drop','declared-tie',NULL);
INSERT INTO "filter_results" VALUES(2,'d640dbc7fb89cd5d92d626556a8f586e',0,'length_ratio','mark','length-ratio-above',2.4285714285714283811e+00);
INSERT INTO "filter_results" VALUES(2,'d69f4ab3dc96d2bea03e711e76153333',0,'format','drop','tie-between-orders',NULL);
INSERT INTO "filter_results" VALUES(2,'d75ba6fb84491a4943c7484e0cfac4de',0,'truncated','drop','chosen-truncated',NULL);
INSERT INTO "filter_results" VALUES(2,'d75ba6fb84491a4943c7484e0cfac4de',1,'format','drop','no-solution-header',NULL);
INSERT INTO "filter_results" VALUES(2,'e6fb3bfa9c184b7a0b58658435094731',0,'format','drop','unclosed-thinking',NULL);
INSERT INTO "filter_results" VALUES(2,'facad6449e7f76107c76437c7a2bd1f8',0,'format','drop','tie-between-orders',NULL);
CREATE TABLE filter_sets (
    id INTEGER PRIMARY KEY, created_at TEXT NOT NULL, settings TEXT NOT NULL
);
INSERT INTO "filter_sets" VALUES(1,'2026-11-26T15:00:18.205+00:00','{"format":{"action":"drop"},"truncated":{"action":"drop"},"empty":{"action":"drop"},"identical":{"action":"drop"},"length_ratio":{"bounds":[0.5,2.0],"action":null},"jaccard":{"bounds":null,"action":null},"levenshtein":{"bounds":null,"action":null},"allusion":{"action":"mark"},"lost_answer":{"action":"mark"},"refusal":{"action":"mark"},"language":{"action":"mark"},"contamination":{"action":"mark","files":[],"ngram":13},"near_duplicate":{"action":"off","threshold":0.8}}');
INSERT INTO "filter_sets" VALUES(2,'2026-11-26T15:00:18.447+00:00','{"format":{"action":"drop"},"truncated":{"action":"drop"},"empty":{"action":"drop"},"identical":{"action":"drop"},"length_ratio":{"bounds":[0.5,2.0],"action":"mark"},"jaccard":{"bounds":null,"action":null},"levenshtein":{"bounds":null,"action":null},"allusion":{"action":"drop"},"lost_answer":{"action":"mark"},"refusal":{"action":"mark"},"language":{"action":"mark"},"contamination":{"action":"mark","files":[],"ngram":13},"near_duplicate":{"action":"off","threshold":0.8}}');
CREATE TABLE judgements (            -- a judge's verdict over answers 1 and 2 of a task, in the order in which they were shown
    task_id TEXT NOT NULL, recipe TEXT NOT NULL, role TEXT NOT NULL, round INTEGER NOT NULL, key TEXT NOT NULL,
    shown_first INTEGER NOT NULL, shown_second INTEGER NOT NULL, choice INTEGER, status TEXT NOT NULL, reasoning TEXT,
    parser_version INTEGER NOT NULL,
    PRIMARY KEY (task_id, recipe, role, round, shown_first)
) WITHOUT ROWID;
INSERT INTO "judgements" VALUES('task-1','judge-off-policy','judge',0,'6002edaacfdef1d70a1146ef92dae08b6767cbab09f329655b85fcda0f92e1f8',2,1,2,'ok','longer. [2]',1);
INSERT INTO "judgements" VALUES('task-1','judge-on-policy','judge',0,'e9ef14b9e99fa4b9c531c8f2d7109edd7926c9a63169f5a515201513266479fa',1,2,2,'ok','longer. [2]',1);
INSERT INTO "judgements" VALUES('task-1','judge-on-policy','judge',0,'d70a5e5b4229b04b9a51a726c7594791c672d51291b6e935549c1e20ea540966',2,1,1,'ok','longer. [1]',1);
INSERT INTO "judgements" VALUES('task-2','judge-off-policy','judge',0,'aa14e3b590d59d8ff8e93413e8b2363de52bef36a4d83b8117065cc2016a1475',2,1,1,'ok',NULL,1);
INSERT INTO "judgements" VALUES('task-2','judge-on-policy','judge',0,'9e30e122b033b6caabb0f6df5bef367014946368951d0221163e7cb40014b027',1,2,1,'ok',NULL,1);
INSERT INTO "judgements" VALUES('task-2','judge-on-policy','judge',0,'084e5071e4b04ed2c97bdb175c3afba13922fdb5121c0f5f46be25fa2fc84704',2,1,1,'ok',NULL,1);
INSERT INTO "judgements" VALUES('task-3','judge-off-policy','judge',0,'7cd4ff59ca24c826344e500df9e0ed030a193f86f1a3a477a4298807d35d6857',1,2,NULL,'declared-tie','Both are equally good.',1);
INSERT INTO "judgements" VALUES('task-3','judge-on-policy','judge',0,'c3097d6b29ada8bf37e091811777be40ee93a4a896aa22b1b90d2c7ddf5ab175',1,2,NULL,'declared-tie','Both are equally good.',1);
INSERT INTO "judgements" VALUES('task-3','judge-on-policy','judge',0,'d625e6c54fa6424cd028e1d9004112c110b4a8c6a3c95bc220223f9325075a64',2,1,NULL,'declared-tie','Both are equally good.',1);
INSERT INTO "judgements" VALUES('task-4','judge-off-policy','judge',0,'7d7c1652b832656e62dc672a9f8536e87e015570842eaef49df5dea26e760664',1,2,NULL,'unclosed-thinking',NULL,1);
INSERT INTO "judgements" VALUES('task-4','judge-on-policy','judge',0,'184ececd11e5bfbefb4e8ac3c776d6a3e9ff44951589211058ddf2e0dfb989a3',1,2,2,'ok','longer. [2]',1);
INSERT INTO "judgements" VALUES('task-4','judge-on-policy','judge',0,'b51bcbb26fdfaa88473be2e71252710c33ed11fff50d51ebbb9d129c2fbb747b',2,1,2,'ok','longer. [2]',1);
INSERT INTO "judgements" VALUES('task-5','judge-off-policy','judge',0,'6c4ba1b1cc16cd4439c48458667bf77cb69e22254a5670a88258095f8515683f',2,1,1,'ok','longer. [1]',1);
INSERT INTO "judgements" VALUES('task-5','judge-on-policy','judge',0,'5bc68a701c6ead2647cfa309233da72dd227da947abb888f51e8a04b97354503',1,2,2,'ok','longer. [2]',1);
INSERT INTO "judgements" VALUES('task-5','judge-on-policy','judge',0,'7c8f0d8bcf41dbd4c460e91401ccff77ade347e11d83a8b63c83dfae3b423f4b',2,1,1,'ok','longer. [1]',1);
CREATE TABLE messages (              -- what was sent, once per content hash; canonical JSON, zlib
    hash TEXT PRIMARY KEY, body BLOB NOT NULL
);
INSERT INTO "messages" VALUES('5226b9355f19bdc8f11faa91fd4162628dcf60169683662a4358f0f68335b442',X'78018BAE564ACECF2B49CD2B51B2520A2C4D2D2EC9CCCF53C8CF4B55D2512ACACF49058A9616A71629D5C602003E1E0E87');
INSERT INTO "messages" VALUES('622fb0a7b864dcedc1c9c5a5a49edbc2662ba60b56efcfdd48195cd4d29e0a20',X'78018BAE564ACECF2B49CD2B51B2520A2C4D2D2EC9CCCF532829CF57D2512ACACF49058A9616A71629D5C602003FE10E9F');
INSERT INTO "messages" VALUES('06603b77c71fe4a07fb8a5c04444419334bae55acc0bf01c0b39db4e69e45b17',X'78018BAE564ACECF2B49CD2B51B2520A2C4D2D2EC9CCCF5328C9284A4D55D2512ACACF49058A9716A71629D5C6020060030F5D');
INSERT INTO "messages" VALUES('89a2e6a0087e4d3af66b11adaed493fe1298fc7e2f295eee993cd9bb0915df4f',X'78018BAE564ACECF2B49CD2B51B2520A2C4D2D2EC9CCCF5348CB2F2D52D2512ACACF49050A9716A71629D5C602004FD50F01');
INSERT INTO "messages" VALUES('f96415882083e34702cb42ff5a1392e54771599fbb37a1e07e720fa5883f84b9',X'78018BAE564ACECF2B49CD2B51B2520A2C4D2D2EC9CCCF5348CB2C4B55D2512ACACF49050A9716A71629D5C602004E860EEF');
INSERT INTO "messages" VALUES('07fa5c01759bd66ff0058f1ca30874a88fdf74347efb31c6a4054dfd8f6f712a',X'78017552C96AC33010FD95872FBDB881E4E83F28F452E8A5242128F6C41EA28E8234AE09C1FFDE91B21C4AAA8BC4AC6FD1FA52B5419444ABA6FA0A235C243828B976A008271DCE618C50978EE0040D38717B840E843D2545D2B1B3EE9764B569A2B8C0E73D750D942E0B7D07AB6E3DB958DFDE21466AB52E4B4A96A4773D4BFF18F58689BD47CF3F946118B04B06329796CB6DF52E053F2A07D92DFF4BACE6058C5CC481C5F9DB787C8F1991B1772C582FB7E0039E0E9D5C2A646B904F84F56ABBD8C846AE581A7C8C2684ED47102AF127C01AA42144C5F279C16A6E8C9C67554FF0417AD3BE94BEFE3DB9FF9DB2DE078E865F0796A3B94027ECCFD77B621D8A54571377915C0A62BACED9BE8E5AEE08D3C0ED80BB74D9A43DA99299933D377BE52E535626C407EBAAAE62F064DF654C14AB79FB0B1783D09E');
INSERT INTO "messages" VALUES('66b1c0da23efeec53e1edd425d23a8e9e291aeef70ad872e32d44f0670228737',X'780175524B6AC33010BDCAC39B6EDC40BCF40D0ADD14BA2949088A3CB186A85290C63521F8EE1DD9491625D54662BEEFA3CDB5B2310805A9DAEA2B0E3089602064ACA304133A5CE29020269FC0191271667B8238C281B220CBD069F74BD6DA3C525AE1F39E5A02739786BEA3565B4F26D5B7774C89ACD4F392394BA1373D87FE31EA0D237B8F9E7FA8C05060D702649A5BAEB7D5FB1CFD201CC37EFD5FA29956507209470EC6DFC6E37B288894BDE180CD7A073EE2E9D0D1E4996C0DF299B06976AB6DD886054B8B8F4185D0FD9031CEF127C05AC5EE59C4137C0CBD4ADB3C2F6DA616D9C5244BC1EBDF53BADEA9E87DE4A4F8C57138A90B74C6E1B2DC238B9BA55A4CDC27323906D5752AF67564B9238C8EADC35DBA62D2814448CD299EABBDE12E535126A607EBAAAE52F4A4DF65C894AA69F70B239FD0B8');
INSERT INTO "messages" VALUES('50091fb2a60c3ab17d50c1dff708f5699407dbff9ef538f206233c00ea39c25a',X'780175524B6EC23010BDCA5336DDA448D05D6E50A99B4ADD54809049866484B1D178D208A1DCBDE3045854D41B5BF37D1FAFAF451D8352D0A22ABE630F2704072557772470A1C125F60275E9084ED08833D7476847D8535224ED1BEB7E49569B069205BEEEA939307559E814ADBAF6E4A4BCBDA308D55A4E4BA62C85D6B51CDAC7A8770CEC3D5AFEA10CC3805D3390716AB9DE56EF52F4BD720CBBE57F89D5B88091131C38387F1B8F539F11197BC701EBE5167CC0D3A1834B13D912E41361BDDA2E366113662C153E7B13C2F69B284234659E40AB0CBD67554FF031B426EEDBF3D2D558217551742E78FD7B72D70765C50F2CC6403B0E47F381CED85FE67B60ED26B1661B77422EC560CA8ED9C0866A6E0843C77587BB78D9A63DA992D9935D3783C35DA8AC4D9407EFA22C247AB20FD3279262DCFE02D001D178');
INSERT INTO "messages" VALUES('222b81a8ff88b534fbfe18d9d4da35ef1bb135c811dbf9802a832f25e5508df7',X'780175524B6AC33010BDCAC39B6EDC404257BE41A19B4237C50941B1C7F610450AD2B82604DFBD2339C9A2A4DA48CCF77D545F8BC63B212745557CFB1126100C844C335080712D2E7E0C10138FE008F1387373840C8403454194B1D5EE97A8B571A2B0C2D73DB5047297864E5EAB1B4B2694B7B70F811A29F3929C25D79B9E5DFF18F58E89AD45CF3F946028B06B0232E796EB6DF53E7A3B0A7BB75FFF97D8CC2B28B9808E9DB1B7F1388D0991B237EC50AF77E00E4F874E2666B225C84642BDD9ADB66EEB162C153E471542F7A3D31539F10459A5E02D8B5882F5AE576DDF9E976EE60A71F0419682D7BF27757D5012BCE3A004646077541BE88CC365B92796216BB5B8B80F64A2772AEC9CFC6BA9E196300DDC0CB86B975C3A9008A93BC974F5D7DD754AD2F8F0A05D9445F096F4BF8C914231EF7E01FE7BD11E');
INSERT INTO "messages" VALUES('713592fdbd128a80f15998a73fada13eebac8446b8631a9ebe037989936425db',X'78017552CD6A0231107E958FBDF4B2152AF4B26F50E8A5D04B5191B83BEE0EC64492898BC8BE7B2759F5506C2E09F3FBFD6475AD5AEF849C544DF5E3134C2018089976A000E33A5C7C0A10130FE008F138717B800C841D454194D469F74BD4DA385258E0FB9E9A03A54B4347AFD5AD2513EADBDB8740ADD46549C992EB4DCFAE7F8CFAC0C8D6A2E73365180AEC9A814CA5E57A5BBD8DDE2661EFB66FFF2596D3024A2E60CFCED8DB781C5346A4EC0D3BACDE36E03D9E0E1D4D2C646B908D84D572B358BBB59BB134F84A2A84EED7E9672A8927C81A056F59C412AC77BD6AFBFEBC74393588830F3217BCFE3DB9EB93B2E07B0E4A40067607B5814ED85DE67B64198A56B38BDB40267AA7C24ED9BF8E5AEE08E3C0ED80BB76D9A51D8990BA934D577FDD5DA72C8D0F0FDA555D056F49FF4B8A14AA69F30BEEB9D10E');
INSERT INTO "messages" VALUES('0fc4230112b822ab45d54b4a621cc33a819e6b65086eb25407ccddd166251a79',X'78018553C16ADC3010FD95872FBD38BEF5B2B7D25228A487402EA5298B6C8F6D6565CD3292763161FFBD23D92921BBA4C620248DE6BD79F3E6F74BD5B18FE463B5AB7E718211824124D34D2430BEC7C249104D38C00644C66CBD9D8D730BEC7C143EE5F81053AF393E057D11CE240D7EE06C9DC368F55E3368CC4BCE71292975B3BDD80776295AF697060A2F78E676C3113AD9408813DD884648DDA47726C2EA1FD03952EA526366ADA06311EA625DD0CA09F9D18CD68F0DBEF27181F287677FB705528FA39118C04301BCAEE731D3F817BDBFA28F39858856C56839459800C77ECCEBED021A7C67019D48963829AFB596A254DFD7AAF7811078A6F5D25108488186E4A0E91B7C63A5AF30CEA9F0B92B05E5237E2D65148322AB0A0E8537AF42E5BDF56BAB07EB8D53ECB52FCD937FF26BEB7678481472B3C09ECAF9950C3B7CF19B0732ABB70F6AF4628688CFF9E5DDFB2F1FDE5376D0604595CC751FD4577444BBACEBD9C6A9F86835E75EC804F65AD52543F5D4599562E273DEBD5AF3B6F8AAEF447E35E7FF846BF0539D9D8B2E91DB64BC05CF43F2A135949766182C4919A010257531A94DCB686D139305A8EA4AD8918EA2F65AAACB9FBF92295819');
INSERT INTO "messages" VALUES('f940385d998f5cdfd97e29d482275dcb1b7cba8f3b1a9cafae405b562ae600ec',X'78016D92D14EE33010457FE52ACF211FD0B715BCF088B42F6859AD4C328D0DAE27F23884A8EABF739D80565454A9144D3D77CE1CF7CFB9E9351549A539348F3AC365814311D77BC958BC62CA32B16A7009F22EB90F260889BF85DEC3CA3CB0DB10C5E584A2EC8D9111A3EAC0165B1873CC7A62C962187D892B16CDCCD0241DEEB1049E1FC39B60ADF3712ECE5E2F6C653BCE35E69F699C4BD074E940C68C177D46B03AACF72E8D82E2E5FA286C265EF1AE20F0A98066E82B66FBF9AE394B5F5A68DE0B9246378634B675BD1AB9B8F5FFA6E4DF7745AF731CE01D91971C0AED714487DB9DC571148B911E0D939A85E72807364D2B1C575526675029A5E9F14774FA197024567D693715AF2213A7D435D258FC56E38953873B45D252A37913DB05907CF7D23DA5A7B4FB3CE06116AB12ABF7ADFE5DED01BFC945687E4F2EAD04A38A4DB2510349AF036EAE3F35F5D77EE34B206355B8830CF8BA424E8FEBC6D5B44DD628FCDFCD26B9B9FCFD00A184EA01');
INSERT INTO "messages" VALUES('fd1bd897fe7c4f2b4426e815d42647694dd5e87fbe35ff4fd1b1884dd41f48b7',X'78018553C18ADC300CFD95D75C7AC9067A9D5B692914DA43A197D22D839328893B8E35C8F684B0CCBF5776B265E90C5B1308B665BDA7A7A79F4F55C73E928FD5A1FAC109460806914C3791C0F81E2B274134E1041B1019B3F57636CEADB0F359F892E3434CBDE6781BF44558481A7CC6629DC368F55E3368CC53CE712D2975B3BF380676295AF6D7060A2FF8CDED8E2374B1811027BA138D90BA49EF4C84D52FA073A4D4A5C6CC5A41C722D4C5BAA09513F2A319AD1F1B7CE0F30AE50FCFFE610FA41E672331808702785BCFF74CE36FF4F1863EE614225A15A3E51461021CFB31FFEF17D0E0130BE842B2C649796DB514A5FABE56BD4F84C0336D978E42400A3424074DDFE0232B7D85714E85CF5D2928AFF16B29A3181459557028BC79162AEFADDF5A3D586F9C626F7D691EFDA3DF5A77C0B74421370B71E1727E23C301EFFDEE81CCEAE5831ABD9821E2DD1B5DF9F5C3BF2B1F7EA1ECA2C18AAA996B3FA9B7E88C76DDFE8B8D53F1D266D0A39009ECB5B26B86EBA9B32AC7C44BDE3DDBF37E0354E389FC66D0FF89D7E0ABBABB149E6DB04FC74BF03C28AFDA43796986C19294210A515217935AB58CD73E355980AAAE841DE9386ABFA5BAFEFA030D8458C9');
INSERT INTO "messages" VALUES('0f08126c028aa61a70022826c9b592666e86bb45a507a3ba20d844cdb2bd4fbc',X'78016D92416BE4300C85FFCA23E7343F606E4B7BE9B1B097B25D1637D1C46E3D56B09CA66198FFDEE7A465E9D0E08051A4A74F4FF9736E7A4D4552690ECDA3CE7059E050C4F55E3216AF98B24C8C1A5C82BC4BEE830942E2B7D07B589907561BA2B89C5094B5315262541D58620B658E594F0C590CA32F71C5A2991A9AA4C33D96C0FC31BC09D6DA1FE7E2ECF5C25296E35C65FE99C6B9044D970E64CC78D16704ABCD7AEFD228285EAE536133F18A770581A7029AA1AF98EDE75D7396BEB4D0BC07248D6E0C696CEB78557271EBFF49C9BFCF8A5EE738C03B222F3914BAC7161D6E7716C7560C46FA6898D42C3C4739B0685AE138AA52398396D2343DFE884E7F061C89552FED66C5ABC8C42E758C3416BFC59871EA70A7485AAA3437B12D80E4BB2FDD537A4ABB9F073CCC62D5449445B7F8776B0FF84D2E42F33DB9B4128C566C261B6D20E9B5C0CDF553557FED1B5F0219AB853BC880AF1572EB71DDB89AB6C91A85FFDD6C929BCBDF0FB7B2EA31');
INSERT INTO "messages" VALUES('5fdf3d09d86c605ed6bf7129bf170a22c774252bfc53fb4857a1281f88229469',X'78018553C16ADC3010FD95872FBD38865EF7565A0A85F610C8A5346591EDB1ADACAC5946D22E26ECBF77243B25E92EA9310849A3796FDEBCF9F55C75EC23F958EDAA9F9C60846010C97413098CEFB1701244130EB00191315B6F67E3DC023B1F854F393EC4D46B8E0F415F843349836F385BE7305ABDD70C1AF39C735C4A4ADD6C2FF6815D8A96FDA581C20B9EB8DD70844E3610E24437A2115237E99D89B0FA07748E94BAD498592BE85884BA5817B472427E34A3F56383CF7C5CA0FCE1D9DF6D81D4E3682406F05000AFEB79C834FE46EFAFE8634E21A255315A4E1126C0B11FF37ABB80065F59402792254ECA6BADA528D5F7B5EA7D20049E69BD74140252A0213968FA065F58E92B8C732A7CEE4A41798F5F4B19C5A0C8AA8243E1CD8B50796FFDDAEAC17AE3147BED4BF3E81FFDDABA1DEE1385DC2C4513A2727325C40E9FFCE682CCEBED931ABD9821E2637E7BF7EF970FBF5376D16045D5CCB51FD45B7444BBACEBD9C6A9786935E85EC804F65AD92583F5D4599563E273DEBDD8F3760354E389FC6AD0FF89D7E087BA7B2D5C6DB04DC76BF03C28EFDA43796986C19294210A515217935AB58CD736355980AAAE841DE9386ABFA5BAFCFE03322D59C1');
INSERT INTO "messages" VALUES('eb0281a81ed88ad68c9f9131c00afeab5bc2cb457f5794e3fd7e83b07761a615',X'78016D92C16EDC300C447F65E0B3E30FD85B905E7A0CD04B900481D6E65A4AB4A221CA758CC5FE7B477682A0690D1B102872F838F4E3A5E9351549A539340F3AC365814311D77BC958BC62CA32316A7009F22EB90F26088977A1F7B0320FAC36447139A1286B63A4C4A83AB0C416CA9CB29E19B218465FE28A4533353449879F5802F3C7F05BB0D6FEB814676F5796B21C972AF3621AE712345D3B9031E3558F08569BF5DEA55150BC7C4F85CDC42BDE1504BE15D00C7DC56C3FCE9AB3F4A585E63D2069746348635BC7AB928B5BBF2625FF3E2B7A9DE300EF88BCE450E81E5B74B8DB591C5B3118E9A36152B3708C7260D1B4C27154A572062DA5697AFA2F3AFD197022563DB49B156F2213BBD431D258FC1663C6B9C30F45D252A5B9896D0124DF7DE99ED253DAFD3CE07E16AB26B26316D96EFE36F7805F242336BFB34B2B1369C666B3D108B2FE2B71F3FDA9BAB7FBD69740CE6AE30E33E0738DDC7C5C37B6A66DB246E1BF379BE4E6FAFC07728CEBAD');
INSERT INTO "messages" VALUES('ba1188bf556a4406b37a31e37aa5094dfd104f580141834e774a2ca67843524e',X'78018553C18ADB3010FD95B7BEF4E2F5A5B7DCCA2E85427B28F452BA25C8F6D856236BC2484A304BFE7D47B2B7B44DD81A8390349AF7E6CD9B1FCF55C73E928FD5AEFACE09460806914C3791C0F81E0B274134E1001B1019B3F57636CE2DB0F351F894E3434CBDE67817F445389334F884B3750EA3D57BCDA031CF39C7A5A4D4CDF6621FD8A568D95F1A28BCE017B71B8ED0C906429CE8463442EA26BD331156FF80CE9152971A336B051D8B5017EB82564EC88F66B47E6CF0C0C705CA1F9EFDFD16483D8E4662000F05F0BA9E6F99C6EFE8FD157DCC2944B42A46CB29C20438F6635E6F17D0E0230BE844B2C44979ADB514A5FABE56BD0F84C033AD978E42400A3424074DDFE09195BEC238A7C2E7AE1494B7F8B594510C8AAC2A3814DEBC0A95F7D6AFAD1EAC374EB1D7BE344FFEC9AFADDBE16BA2909B85415B552EAE74D8E183DF4C9069FDF5A2462F6688787F97DFDEFFFBE5C3CF944D3458513173E907B5161DD12EEB7AB6712A565AFDB9173281BD1676C9603D7556D598F89C77AFEEBCADBF4A3C915FFDF93FED1A7C5173E7BA4BE4361C7F82E73979D31DCA4B330C96A4CC508892BA98D4A965BAB6A1C902547525EC48A751DB2DD5E5E70B9939592C');
INSERT INTO "messages" VALUES('ef7cc313b6b0bdc257cf946b2fbacb004e2725d02166932803dbaf07487e518d',X'78016D92C16EDC300C447F65E0B3E30FD85B905E7A0CD04B900481D6E65A4AB4A221CA758CC5FE7B477682A0690D1B102872F838F4E3A5E9351549A539340F3AC365814311D77BC958BC62CA32316A7009F22EB90F26088977A1F7B0320FAC36447139A1286B63A4C4A83AB0C416CA9CB29E19B218465FE28A4533353449879F5802F3C7F05BB0D6FEB814676F5796B21C972AF3621AE712345D3B9031E3558F08569BF5DEA55150BC7C4F85CDC42BDE1504BE15D00C7DC56C3FCE9AB3F4A585E63D2069746348635BC7AB928B5BBF2625FF3E2B7A9DE300EF88BCE450E81E5B74B8DB591C5B3118E9A36152B3708C7260D1B4C27154A572062DA5697AFA2F3AFD197022563DB49B156F2213BBD431D258FC1663C6B9C30F45D252A5B9896D0124DF7DE99ED253DAFD3CE07E16AB265278CEDBC5DFDE1EF08B60A4E67776692519BDD85C36FA40D47F146EBE3F55F676DFF91248594DDC51067C2E917B8FEB46D6B44DD628FCF36693DC5C9FFF0096DEEAF5');
INSERT INTO "messages" VALUES('e6d0fe313afe40e6bacf33169adc088359b4b2ece36795d6711d05ec88e089ab',X'78018553C18ADB3010FD95B7BEF4E2F5A9A7DCCA2E85427B28F452BA25C8F6D856236BC2484A304BFE7D47B2B7B44DD81A8390349AF7E6CD9B1FCF55C73E928FD5AEFACE09460806914C3791C0F81E0B274134E1001B1019B3F57636CE2DB0F351F894E3434CBDE67817F445389334F884B3750EA3D57BCDA031CF39C7A5A4D4CDF6621FD8A568D95F1A28BCE017B71B8ED0C906429CE8463442EA26BD331156FF80CE9152971A336B051D8B5017EB82564EC88F66B47E6CF0C0C705CA1F9EFDFD16483D8E4662000F05F0BA9E6F99C6EFE8FD157DCC2944B42A46CB29C20438F6635E6F17D0E0230BE844B2C44979ADB514A5FABE56BD0F84C033AD978E42400A3424074DDFE09195BEC238A7C2E7AE1494B7F8B594510C8AAC2A3814DEBC0A95F7D6AFAD1EAC374EB1D7BE344FFEC9AFADDBE16BA2909B8541DB5A2EAE74D8E183DF4C9069FDF5A2462F6688787F97DFDEFFFBE5C3CF944D3458513173E907B5161DD12EEB7AB6712A565AFDB9173281BD1676C9603D7556D598F89C77AFEEBCADBF4A3C915FFDF93FED1A7C5173E7BA4BE4361C7F82E73979D31DCA4B330C96A4CC508892BA98D4A965BAB6A1C902547525EC48A751DB2DD5E5E70B6B345909');
INSERT INTO "messages" VALUES('50afcc81cd26d9ca93835856145740fcdfa1de036ff6d6541de52f4eaa1eff46',X'78018D52C16AC3300CFD95D75C76C9CA5AD8A5B71D07BB0C76196D296EA22426AE5D6C79A194FCFB64A72D6374305F6C243FE9E93DADCF45E52C93E562557CBA08E5090A4CAAEAC843D91A27173D58851E3A801D8EBAEAC11D614F811138D6827E08F2370CE4E7F8B8A6A6404649E8E0E4776548F9F2F276DE53C5656E92B3645BD56ADBDE4ABD62D0C6A0D55F946808B173223266C8F9D27A179C89AC9DDD2DFE4A2CC73964388F465B652EE5718889914CAFB4C57AB1856E70B7E8A0421EB6049940582FB7F38DDDD889CB0AEF518490FE709672FC0EB1155EECB5AF68F81352A2F6AA613CDFC72EC77F609F66B359823FFE3E29F846C99E467B19973B6D7B318D8ED89FA67BD0DC656527CF779E5470566C1893DB3555BA260C9DAE3A5C954E9EEE8999C4CBB422B20DB7E99290CEDF442ACAC23B43B25D31902FC6ED37A217E050');
INSERT INTO "messages" VALUES('7d69b54d7d47853a6712013f874dbe8b50daa137cc8d858379c2480c35c05af7',X'78018D52C16AC3300CFD95B75C76C90A2DECD2DB8E835D06BB8CB614D7511253D72EB6BC504AFE7DB2D396313A982F36929FF4F49E56E74A7BC7E4B85A569F3E4105820293D23D0528D7E0E45300ABB88789608FA3D17B704FD85164444E8DA01FA3FC8D0385193EAEA9295050123A78F9AD2DA9505FDE3E04D25C9726254BAE539D71DDADD42B06632D3AF3459986103B672263819C2FADB7D1DBC4C6BBEDFCAFC4629C41860B688D53F6521E879419C9F4CA38ACE61B9816778B0E2A96616B908D84D562335BBBB59BB82CF19E4408E90F1E7C89DF21B6C48BBBF6150D7F426A3441B58CF9839CFBF8C5F80FFC73013FFD3EB9E21B65835A136460EE8DDB8B6D74C4EE34DD83E1BE683BB9BE0DA4A27762C498FD6E489B8630F446F7B86A9D5DDD1133899B7949641F6EF365297DB8C954D555F09664BF52A4508D9B6F257AE0DB');
INSERT INTO "messages" VALUES('f40b1ef6ed8c51d9f5c87b0799a24693d17dc7b00bbe8c848abd9ced17592594',X'78018D52C16AC3300CFD95B75C76C90AED6187DE761CEC32D865B4A5B88E9298A67691E58552F2EF9393B6B0D1C17CB191FCA4A7F7B43A173678212FC5B2F80C0986090642C6B6C430BEC229248698B8878B9080A3B37B484BD85114444995A21FA3FE8D3DF10C1FD7D41418511A3A04FD6D3B325C5EDE8199AC946393314BBE318DF3CDADD42B7AD77568DC17651A4AEC9C890C23E47C69BD8DA14BE282DFCEFF4A2C8619743846EDBCE92EE5714899914E6F9CC76ABE81AB71B7686FE2386C09EA2261B5D8CCD67EED272E4BBC271542FBAB284C3466EE505BE2C55F3BAB8A3F41252A36B5607E1FBD18FE857E7ED0932B3CFD3E39F846D9A5DAB14E2DADF37BF58E8ED89DA6BB77D28E024FD66F994C0C5EDD18B2E915595711FAD6D91657C1B3B53B1221B5346F8A2EC56DC4AC67E09B56455970E848972C45E262D87C03167EE2F5');
INSERT INTO "messages" VALUES('ffee4960e97f53c58f3efb51e5ca6c2b3b060e195dcfb3be720ec16647c1a275',X'78018D52416AC33010FCCAD4975EDC40D25B6E3D167A29F452921014796D8B285290563521F8EF5DC949A02585FA22A3D5ECCCCEECEA5C69EF981C57CBEAD327A840506052BAA700E51A9C7C0A6015F73011EC71347A0FEE093B8A8CC8A911F46394B771A030C3C7B5345D14945C1DBCBCD69654A82FFF3E04D25C17925225D7A9CEB8EED6EA1583B1169DF9A22C43849DB390B140CE17EA6DF436B1F16E3BFFABB0186790E1025AE394BDB4C721654532BD320EABF906A6C5DDA6838A65D81A642361B5D8CCD66EED262D4BBC273142F8D10A4529DC51B6C48BBB128B893F30359AA05AC6F3C37DF462FC0F7A5ED04FBFBFDCF28D7240AD093230F7C6ED25363A62779ACEC1705FBC9D52DF0652D13B0962CC7937A44D43187AA37B5CBDCEA9EE889924CDBC24B20FB7F1B2953EDC6CAAEA2A784BB25F2952A8C6CD37D545E19C');
INSERT INTO "messages" VALUES('9ff78b327b1376ea4ea0b95fae114704b4c7b28dcff5075939dd3bd893e6f3b6',X'78018D52416AC33010FCCAC4975EDC404C4FB9F558E8A5D04B494250ECB52DA248415AC584E0BF772527819614EA8B8C56333B3BB3AB4B513BCB64B958165F2E4279820293AA7BF250B6C1D9450F56610F1DC00E475DEFC13D614781113836827E0AF2360CE4E7F8BC95A68B8C92AB8393D7B521E5CBEBBFF39E6A2E73935C25DBA94EDBEE4EF586411B834E9F28C91061972464CC90CBB5F5363813593BBB5DFC55A8C63964388F565B65AEF438C4A448A657DA62B5D840B778483AA890872D41261056D566BEB66B3B6959E2238A11D25FD84F940B0F942DF16A6F8DC5C41F98128D572DE365F6185D8DFF4157B359C63FFFFE12E93BA5885AED6564EEB5DD4B7074C4EE3C9D83E63EBB3BE5BEF5A482B312C598126FA8D60D61E875DDE3E676CA7547CC2479A635918DB80F98CC74FE6E545116DE19920D8B817C316EBE0121BDE1AA');
INSERT INTO "messages" VALUES('641565a732296d3b5723517f046870c765b832674c43c28bd538a06b91a02d14',X'78018D52C16AC3300CFD95D75C76C9CA5AD8A5B71D07BB0C76196D296EA22426AE5D6C79A194FCFB64A72D6374305F6C243FE9E93DADCF45E52C93E562557CBA08E5090A4CAAEAC843D91A27173D58851E3A801D8EBAEAC11D614F811138D6827E08F2370CE4E7F8B8A6A6404649E8E0E4776548F9F2F276DE53C5656E92B3645BD56ADBDE4ABD62D0C6A0D55F946808B173223266C8F9D27A179C89AC9DDD2DFE4A2CC73964388F465B652EE5718889914CAFB4C57AB1856E70B7E8A0421EB6049940582FB7F38DDDD889CB0AEF518490FE709672FC0EB1155EECB5AF68F81352A2F6AA613CCD66B3FBF0E5F80FF873C23EFE3E29F846C99E467B19973B6D7B318D8ED89FA67BD0DC656527CF779E5470566C1893DB3555BA260C9DAE3A5C954E9EEE8999C4CBB422B20DB7E99290CEDF442ACAC23B43B25D31902FC6ED377547E050');
INSERT INTO "messages" VALUES('a419ae44f0a8fab662edb2526ec1e9070531017a20dc3ad23118150bd72beea9',X'78018D52C16AC3300CFD95D75C76C90A2DECD2DB8E835D06BB8CB614D7511253D72EB6BC304AFE7DB2D396313A982F36929FF4F49ED6E74A7BC7E4B85A551F3E4105820293D23D0528D7E0CBA70056F10013C11E27A30FE09EB0A7C8889C1A413F44F91B070A73BC5F5353A0A02474F4F25B5B52A1BEBC7D08A4B92E4D4A965CA73AE3BA5BA9170CC65A74E693320D2176CE44C602395F5AEFA2B7898D77BBC55F89E538870C17D01AA7ECA53C8E293392E99571582FB6302DEE161D542CC3D6201B09EBE576BE711B377159E12D8910D21F3CF812BF436C856777ED2B1AFE84D468826A194FB3FBE0E5F80FF0622627E31F7F9F1C7CA56C506B820CCCBD7107B18D4ED87F4DF760B82FDA4EAEEF02A9E89D183166BF1BD2A6210CBDD13DAE5A6757F7C44CE2665E12D987DB7C594A1F6E32557515BC25D9AF142954E3F61B525AE0DB');
INSERT INTO "messages" VALUES('41164adc11eb9b3f797cb61ad5de200a838bd6fe1a88f6d4ad23f667ab0029a5',X'78018D52C16AC3300CFD95B75C76C90AED6187DE761CEC32D865B4A5B88E9298A67691E58552F2EF9393B6B0D1C17CB191ACA7A7F7B43A173678212FC5B2F80C0986090642C6B6C430BEC229248698B8878B9080A3B37B484BD85114444995563F46FD1B7BE2193EAEA929305669E810F4B7EDC87079790766B2528E4DC62CF9C634CE3737A857F4AEEBD0B82FCA3494D8391319C692F3A5F536862E890B7E3BFF2BB11866D0E118B5F3A6BBC0E39032239DDE388FD57C0357E32E686FE2386C09EA2261B5D8CCD67EED272E4BBC271542FBAB284C3466EE505BE2C55F3BAB8A3F8B4A546C6AC1F3839EFB088BE15F08F35CFDF4FBE4E01B65976AC73AB5B4CEEFD53B3A62779AEEDE493B0A3C59BF653231787563C8A657645D45E85B675B5C05CFD6EE4884D4D2BC29BA14B711B39E816F5A1565C1A1235DB214898B61F30DDB35E2F5');
INSERT INTO "messages" VALUES('7dff7d29f77e00888bba2957523942092ca85e92e75cad685e607e97fbb3bf61',X'78018D52416AC33010FCCAD4975EDC40D25B6E3D167A29F452921014796D8B285290563521F8EF5DC949A02585FA22A3D5ECCCCEECEA5C69EF981C57CBEAD327A840506052BAA700E51A9C7C0A6015F73011EC71347A0FEE093B8A8CC8A911F46394B771A030C3C7B5345D14945C1DBCBCD69654A82FFF3E04D25C17925225D7A9CEB8EED6EA1583B1169DF9A22C43849DB390B140CE17EA6DF436B1F16E3BFFABB0186790E1025AE394BDB4C721654532BD320EABF906A6C5DDA6838A65D81A642361B5D8CCD66EED262D4BBC273142F8D10A4529DC51B6C48BBB128B893F30359AA05AC6FCE13E7A31FE07FD5CD04FBFBFDCF28D7240AD093230F7C6ED25363A62779ACEC1705FBC9D52DF0652D13B0962CC7937A44D43187AA37B5CBDCEA9EE889924CDBC24B20FB7F1B2953EDC6CAAEA2A784BB25F2952A8C6CD37D4C9E19C');
INSERT INTO "messages" VALUES('476cb7eef4bb3ebbb3363fc8a9c5d977a16873dfef59d0165772d5776241bd0f',X'78018D52416AC33010FCCAC4975EDC404C4FB9F558E8A5D04B494250ECB52DA248415AC584E0BF772527819614EA8B8C56333B3BB3AB4B513BCB64B958165F2E4279820293AA7BF250B6C1D9450F56610F1DC00E475DEFC13D614781113836827E0AF2360CE4E7F8BC95A68B8C92AB8393D7B521E5CBEBBFF39E6A2E73935C25DBA94EDBEE4EF586411B834E9F28C91061972464CC90CBB5F5363813593BBB5DFC55A8C63964388F565B65AEF438C4A448A657DA62B5D840B778483AA890872D41261056D566BEB66B3B6959E2238A11D25FD84F940B0F942DF16A6F8DC5C41F98128D572DA39ACD668FF1D5F81FFC4B463FFFFE12E53BA5885AED6564EEB5DD4B7074C4EE3C9D83E63EBB3BE5BEF5A482B312C598126FA8D60D61E875DDE3E676CA7547CC2479A635918DB80F98CC74FE6E545116DE19920D8B817C316EBE01039DE1AA');
INSERT INTO "messages" VALUES('358edc472ef6e04ce623f9e25c6737a57b6658209d2bd8d15423eece2ab73322',X'78018D524D6BC3300CFD2B8F5C76C9CADA636E3B0E7619EC52DA525447494C53BBF8632194FCF7C94E5BC6E86086E020597A4FEF6973299435814D28AA626D23C83108814975EC40A6C668A343207F84F6081667AD8E081DE3C03EC087584BF59397B77E60B7C0E72D35077295844E565EAB9EC995D77FEB1CAB5066909C65D352AB4D7B6FF58641F73D5AFDC5898610BB2422532EB95CA1F7DEF631686BF6CBBF12AB690119CEA1D186FA6B7B9C626224D39336D82C77D00D1E361DC8E7614B70EF199BD56EB1355B3373A9F0114508C187359CE30F8855499624AD7C2732A3082883663D3D8DB0CD3FBAACA60AAFE6C65E9CF8095CA276D404BC2406CFBF4F0ABE7372A9D14EA64EE847F18ECF388CF33DE8D0658167EBF78EC95B2324A7647ACD4AD78CA1D3AAC34DF064ED814360B1346D8A2CC59D5ED2D3BABB56455938DBB32C59F4EC8A69F70DD9AEE410');
INSERT INTO "messages" VALUES('3cd46d9c02a3f1e758662b9de24b324d3c4b5a72ef184cace469a09cda476e17',X'78018D52C16AC3300CFD95B75C76C90A2D3BE5B6E36097C12EA32DC57594C4D4B58BAD2C84927F9FECB4658C0E66080E92A5F7F49ED6E7427BC7E4B8A88A4FDF4305820293D21D05285763F47D00AB788089608F93D1077047D8536444EE6BA97E8CF2360E1416F8B8A6E640AE92D0D1CB6B6D4985F2F2EF4320CD6506C95972AD6A8D6B6FAD5E31186BD19A2F4A3484D839119972C9F902BD8BDEF66CBCDB2DFF4AACA60564B880C638652FED71EC1323995E1987F5720BD3E06ED341C53C6C09B291B05E6D171BB77133970AEFBD0821F8E0C1E7F81D62559225492BDF51B951049441B39E518DF0CD3FBAACA60A2FEECA5E9CF8095CA20EAA613C3F240A4FBF4F0ABE51B2A93141C64EF007318F4ED88FF33D18EEB2C2B3F7BB402A7A272CA7E47A4DDAD484A133BAC355F1E4ED9E98493C4DAB225B71E39704F5E126565116C15B922DEB238562DA7E03DFCDE47D');
INSERT INTO "messages" VALUES('e05c50fd0d7cd6d26475f09562aea6bc37f894744ac86da595e7000060564f31',X'78018D524D6BC3300CFD2B6FB9EC9215DAC30EB9ED38D865B0CB684B711D253175ED223B0BA1E4BF4F76DAC24607338418C992DE87D6E7427B17C9C5A22A3E7D0FC50485484A77C450AEC6E87B4654E10013103D4E461F103BC29E4244887D2DD58F41DE868178818F6B6A0EE42A091DBDBCD696149797BB67261DCB3C2467C9B5AA35AEBDB57AC560AC456BBE28C11060E70464CA25E7CBE85DF0B68FC6BBDDF2AFC46A5A40C8311AE394BDB4C7B14F8884BD320EEBE516A6C1DDA6830A996C09B281B05E6D171BB77133960AEFBD0821F3451426CA993BD0AA244C1257BEA372A3BC16AA59D1A046F8E65F7D565385177765206EFC1C5EA266D5443C3FC849489E7E9F147CA3E4576358F827140771914ED88FF37F30B1CB52CF4BB06352C13B013B25FB6BD2A6260C9DD11DAED22793F7142389B96967643D6E2093B29E6FAA1565C1DE92AC5B1F888B69FB0DB030E71C');
INSERT INTO "messages" VALUES('13c771c3953c180fa6e349887edd78ae6691faac433e26328cf9fc30025cfe29',X'78018D524D6BC3300CFD2B6FB9EC9215DAC30EB9ED38D865B0CB684B7113253175ED62CB0BA1E4BF4F76DAC24607338418C992DE87D6E7A27696C97251159F2E4279820293AA7BF250B6C1E8A207AB70800E608793AE0FE09EB0A7C0081C1BA97E0CF2360CE417F8B8A6E640AE92D0D1C9EBDA90F2E5E5EEBCA79ACB3C2467C976AAD3B6BBB57AC5A08D41A7BF28C11060E70464CA25E7CBE85D7026B27676B7FC2BB19A1610721EADB6CA5CDAE318132261AFB4C57AB9856E71B7E9A042265B824C20AC57DBC5C66EEC8CA5C27B1421643E5A1991137790554997A4AD7C4765475150986641831AE1DAFFB4594D155EEC15BF78F1637489C6AB96F1FC2027E178FA7D52F08D9259ADF6423E6138888574C27E9CFF83E63EEB3C6FC0CE930ACE0AD42979DF50AD1BC2D0EBBAC755F7E4F09E98499C4D0B23BB71C3986475FE26595116DE19925D8B817C316DBF01F167E608');
INSERT INTO "messages" VALUES('5b2f444a718602f18619d47274f30a88fb6fe9c09d23e1c748e0daf6d7b81f4e',X'78017552C16AC3300CFD95472EBB6465ED31B71D07BB0C76296D29AEA324A6A95D6C792194FCFB64A72DDBE80CC141B29E9EDED3E6526867992C1755B17611CA13149894EEC843D91AA38B1EACC21126801DCE461FC11DE140811138D652FD14E46D18C82FF0794BCD815C25A19393D7BA27E5CBEBBFF39E3497B949CE926D556B6C7B877AC360FA1EADF9A24443885D129129975CAEADF7C1F5918DB3FBE57F89D5B4800CE7D118ABFA2B3C4E313192E995B1D82C77300D1E820E2AE4614B501F089BD56EB1B55B3B73A9F0114508E90F6729C71F10ABF06A6F7D45C39F25256AAF1AC6CBE3DAD5542549932DF29D941D457C11297B11D408D7FC824B28CF7F4F0ABE5372A9315EA64E0847F18ECE388CF33D18EEB2C0B3F57B4F2A382B8DA6647A4DDAD484A133BAC34DF064ED8198492C4D9B224B711F32E9E9FC5DABA22CBCEB49962C06F2C5B4FB06BEECE410');
INSERT INTO "messages" VALUES('75c6562e3481ba4a5d233870435d1fcae829b10bc1848a80da5415bd15c68cc2',X'78017552C16AC3300CFD95B75C76C90A2D3BE5B6E36097C12EA32DC54D94C4D4B58B2D2F84927F9FECB4651B9D213848D6D3D37B5A9F8BDA5926CB45557CBA08E5090A4CAAEEC943D906A38B1EACC2013A801D4EBA3E807BC29E0223706CA4FA31C8DB30905FE0E39A9A03B94A424727AF6B43CA97977FE73DD55CE626394BB6539DB6DD0DEA158336069DFEA24443889D139129979C2FAD77C199C8DAD9DDF2BFC46A5A4086F368B555E6028F634C8C647AA52DD6CB2D748BBBA0830A79D812640261BDDA2E367663672E15DEA30821FDC183CBF13BC42ABCD86B5FD1F0674989C6AB96F1FC70BF78355549D3E48B7C476547515F54CA660435C2B5BFF012CAD3DF93826F946C6AB597B113C241CCA313F6E37C0F9AFBACF0ECFDCE930ACE4AA329B9DE50AD1BC2D0EBBAC755F1E4ED9E98493C4DAB225B719B3209EAFC4DACA22CBC33245B1603F962DA7E03B596E47D');
INSERT INTO "messages" VALUES('3c802d8bcf783ede1a52a95707589119d54e74a5a4d47d0620128fa5ceda954d',X'78017552C16AC3300CFD95B75C76C90AED6187DC761CEC32D865B4A5B8899298BA7691ED8550F2EF939DB6B0D219428C643D3DBDA7F5B9A89D0D64435115DF2E4231412190AA7B6228DB60749111943F407B048793AE0F083D614F3EC087D848F5B397B77E205EE0EB9A9A03B94A424727AF6B438ACBCBDD31531DCADC2467C976AAD3B6BB41BD63D0C6A0D33F946808B1732232E592F3A5F5CE3B13837676B7FC2FB19A1690E118ADB6CA5CE0718C89914CAFB4C57AB9856EF11074503E0F5B828C27AC57DBC5C66EECCCA5C2671421A4BF88C24439F3805A85377BED2C2AFE2D2AD1B06A035E9FE43C46584D559236D923DF51D951FA8958D913AF46B8F60E34E1BCDC9F14FCA0E457AB59E64F180771914ED88FF37FD0A1CF52CF4BB06352DE59693525FB1BAA7543187A5DF7B84A9F4CDE530824E6A69D91F5B80D9B94757C53AD280B768664DDA2272EA6ED2F4F46E71C');
INSERT INTO "messages" VALUES('fddc1cf9f8a7decc52b44520524583b2903c12e3b7f177a2180811d0545c186b',X'78017552C16AC3300CFD95B75C76C90AED6187DC761CEC32D865B4A5B8899298BA7691ED8550F2EF939DB6D0D119428C643D3DBDA7F5B9A89D0D64435115DF2E4231412190AA7B6228DB60749111943F407B048793AE0F083D614F3EC087D848F5B397B77E205EE0EB9A9A03B94A424727AF6B438ACBCBDD31531DCADC2467C976AAD3B6BB41BD63D0C6A0D33F946808B1732232E592F3A5F5CE3B13837676B7FC2FB19A1690E118ADB6CA5CE0718C89914CAFB4C57AB9856EF11074503E0F5B828C27AC57DBC5C66EECCCA5C2671421A43F5A6991130F985578B3D7C622E25D4D8986551BF0FA24E731C06AAA92B0C91CF98ECA8E628148951DF16A846BEF3113CCCBDF93821F94CC6A35CBF009E22016D209FB71FE0F3AF459E77903764CCA3B2B9DA6E47D43B56E0843AFEB1E57DD93C37B0A81C4D9B430B21BB75193AC8E6F921565C1CE90EC5AF4C4C5B4FD0591F3E608');
CREATE TABLE meta (                  -- facts of the run: id, version that made it, filter set in force, fingerprint of the tasks
    key TEXT PRIMARY KEY, value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('clairgen_version','0.1.0');
INSERT INTO "meta" VALUES('configured_filters','{"format":{"action":"drop"},"truncated":{"action":"drop"},"empty":{"action":"drop"},"identical":{"action":"drop"},"length_ratio":{"bounds":[0.5,2.0],"action":null},"jaccard":{"bounds":null,"action":null},"levenshtein":{"bounds":null,"action":null},"allusion":{"action":"mark"},"lost_answer":{"action":"mark"},"refusal":{"action":"mark"},"language":{"action":"mark"},"contamination":{"action":"mark","files":[],"ngram":13},"near_duplicate":{"action":"off","threshold":0.8}}');
INSERT INTO "meta" VALUES('created_at','2026-11-26T15:00:18.088+00:00');
INSERT INTO "meta" VALUES('expected:clair','5');
INSERT INTO "meta" VALUES('expected:judge-off-policy','5');
INSERT INTO "meta" VALUES('expected:judge-on-policy','5');
INSERT INTO "meta" VALUES('expected:stronger-preferred','5');
INSERT INTO "meta" VALUES('expected:worsened','5');
INSERT INTO "meta" VALUES('filter_set','2');
INSERT INTO "meta" VALUES('near_duplicates_unsettled','');
INSERT INTO "meta" VALUES('run_id','c8684f3e-ab82-4c2c-bbf9-e88a4143040c');
INSERT INTO "meta" VALUES('source','{"source": {"split": "train", "answers": ["a", "b"], "touched": "429:1795705217986214137:2179123", "sha256": "a614a8b437abbcda262aa0ff5b254c30c6d9977edf33a39c0041818a41339495"}, "rows": 5, "duplicates": 0, "bad_rows": 0, "first_bad": null, "complete": true, "known": 0}');
INSERT INTO "meta" VALUES('tokeniser','treebank');
CREATE TABLE pair_asks (             -- which completions made a pair: part is chosen, rejected, or asked-N for all others
    pair_id TEXT NOT NULL, part TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (pair_id, part)
) WITHOUT ROWID;
INSERT INTO "pair_asks" VALUES('226bb1403112ac9f9ce54e9401a18cd7','chosen','ff36671db55031994f12e95e8b45ccfb2f9d70ebb50c9d1b9a7f920e4f15136e');
INSERT INTO "pair_asks" VALUES('226bb1403112ac9f9ce54e9401a18cd7','rejected','ea2e282bd1a9bc78e3af60e9e7d14fedb3d382f4317571500187a04582904a40');
INSERT INTO "pair_asks" VALUES('39a588ea6b6cb0acba7dd9ef50ede96c','asked-1','6c4ba1b1cc16cd4439c48458667bf77cb69e22254a5670a88258095f8515683f');
INSERT INTO "pair_asks" VALUES('3e95a9ab1d61ff46e6754de9a468ed3b','chosen','b6f352542a00963a6b3be702b310879b6f30b5ab2fa1ac821cc27326dd34c139');
INSERT INTO "pair_asks" VALUES('3e95a9ab1d61ff46e6754de9a468ed3b','rejected','d10281d80953b50643b067d23d32cad03b93e741fa2ed9c9693b614b07211203');
INSERT INTO "pair_asks" VALUES('59c66bbe9ee607feeb1ef69fd83cf476','asked-1','e9ef14b9e99fa4b9c531c8f2d7109edd7926c9a63169f5a515201513266479fa');
INSERT INTO "pair_asks" VALUES('59c66bbe9ee607feeb1ef69fd83cf476','asked-2','d70a5e5b4229b04b9a51a726c7594791c672d51291b6e935549c1e20ea540966');
INSERT INTO "pair_asks" VALUES('59c66bbe9ee607feeb1ef69fd83cf476','chosen','cdd2be8f971a8a971df28f014b20cd064dbdb4e9d0e944ae023dac1bcbf0e198');
INSERT INTO "pair_asks" VALUES('59c66bbe9ee607feeb1ef69fd83cf476','rejected','5fc607dadc58e089f61c8ca158fdcb9cc04082750751e44b59ed95c6e3b84d2b');
INSERT INTO "pair_asks" VALUES('5ccdac80aaed5c3f4754798cc5a1626a','asked-1','d27d0405712ca97975f9b6277ceaed17c9e998bcb0bbb825598f24e7cb956523');
INSERT INTO "pair_asks" VALUES('5ccdac80aaed5c3f4754798cc5a1626a','chosen','0ca37a098b0e8bbc5ae45cc79e61ce73e72a3067cacb434382c9b32bd64e5291');
INSERT INTO "pair_asks" VALUES('5ccdac80aaed5c3f4754798cc5a1626a','rejected','035894e3dfe35152a3490b38bf674860532cd818b9208b4f94a73594339e8175');
INSERT INTO "pair_asks" VALUES('84d222b30ad03a35cc257b97236eaa91','asked-1','7cd4ff59ca24c826344e500df9e0ed030a193f86f1a3a477a4298807d35d6857');
INSERT INTO "pair_asks" VALUES('8951f7017a1ad33a588678e7d15bdd61','chosen','ff36671db55031994f12e95e8b45ccfb2f9d70ebb50c9d1b9a7f920e4f15136e');
INSERT INTO "pair_asks" VALUES('8951f7017a1ad33a588678e7d15bdd61','rejected','035894e3dfe35152a3490b38bf674860532cd818b9208b4f94a73594339e8175');
INSERT INTO "pair_asks" VALUES('8bed2b651a9ba81002fcc176cf4bc32b','asked-1','6002edaacfdef1d70a1146ef92dae08b6767cbab09f329655b85fcda0f92e1f8');
INSERT INTO "pair_asks" VALUES('9051b932c1f17469aa4d4faafe7d71b9','chosen','b6f352542a00963a6b3be702b310879b6f30b5ab2fa1ac821cc27326dd34c139');
INSERT INTO "pair_asks" VALUES('9051b932c1f17469aa4d4faafe7d71b9','rejected','5b0718ec46d261ceb4a96c3e24e7abbf7f824b4a98dc303de1da77fa97627305');
INSERT INTO "pair_asks" VALUES('9105fd3967aa7b303e62b353fca100be','asked-1','45faeffb5c335cf60bcbf2550fa85c9ebf7e4411bf059fe9b05b67be9e6cd6b5');
INSERT INTO "pair_asks" VALUES('9105fd3967aa7b303e62b353fca100be','chosen','bf931066a31ab32c49e7cf06acfa38c07d69df689da57c8297867e9300e09574');
INSERT INTO "pair_asks" VALUES('9105fd3967aa7b303e62b353fca100be','rejected','5fc607dadc58e089f61c8ca158fdcb9cc04082750751e44b59ed95c6e3b84d2b');
INSERT INTO "pair_asks" VALUES('995a94c35faffed3397f29a3ea20da16','chosen','4e690b56a7bde28c9f6c1ee7bd465a5ac4833fb583b57a32973905aebd904407');
INSERT INTO "pair_asks" VALUES('995a94c35faffed3397f29a3ea20da16','rejected','d7def7f87d6acfd7c7822f62f41e21792e2869180162454842ae324a0bb1803d');
INSERT INTO "pair_asks" VALUES('b0de2df78c6d0077ad0273a7d5649ad6','asked-1','24e941025485dcfcf5c1f9a0f33f5f1e9f1099fcb506613064a192b8f0c6852a');
INSERT INTO "pair_asks" VALUES('b0de2df78c6d0077ad0273a7d5649ad6','chosen','4d43affa6c77bb6d330ba5262d219288103334e2d53dec1f0101cf16159227d7');
INSERT INTO "pair_asks" VALUES('b0de2df78c6d0077ad0273a7d5649ad6','rejected','5366a9b13ffe704bd1a7010a0a3e106b6d3ad4e5501feeac1a99e480b432a1e7');
INSERT INTO "pair_asks" VALUES('bd22665474918256ccf546588c5eae2f','asked-1','cd26d6fe69f209316160781a26369dcdbc242bea31db4555da0f087eebb5cf11');
INSERT INTO "pair_asks" VALUES('bd22665474918256ccf546588c5eae2f','chosen','9edae4d2e444a4d0260e374ab82d2e259aa4061c76dc4f6f6a271a9828a89f6f');
INSERT INTO "pair_asks" VALUES('bd22665474918256ccf546588c5eae2f','rejected','51ec081615430c0c95ecf8dfeef096eee4f498f70461172ae8e42108f0795f3d');
INSERT INTO "pair_asks" VALUES('c21804f37e1ea6055a8535894ac7b61a','chosen','ae3c65ba3b6949069f226bdaeff533f453a6f7c750a281a37e4e80c148450524');
INSERT INTO "pair_asks" VALUES('c21804f37e1ea6055a8535894ac7b61a','rejected','5366a9b13ffe704bd1a7010a0a3e106b6d3ad4e5501feeac1a99e480b432a1e7');
INSERT INTO "pair_asks" VALUES('c29427bb95c6a39214842611853c1aa4','asked-1','c3097d6b29ada8bf37e091811777be40ee93a4a896aa22b1b90d2c7ddf5ab175');
INSERT INTO "pair_asks" VALUES('c29427bb95c6a39214842611853c1aa4','asked-2','d625e6c54fa6424cd028e1d9004112c110b4a8c6a3c95bc220223f9325075a64');
INSERT INTO "pair_asks" VALUES('c29427bb95c6a39214842611853c1aa4','chosen','38d7ddf36f0d7101c133fa205daa96e9b3e021aad144ab743f7b3e9d42467777');
INSERT INTO "pair_asks" VALUES('c29427bb95c6a39214842611853c1aa4','rejected','d10281d80953b50643b067d23d32cad03b93e741fa2ed9c9693b614b07211203');
INSERT INTO "pair_asks" VALUES('c2e0890166f592209e222728efef88f9','chosen','4e690b56a7bde28c9f6c1ee7bd465a5ac4833fb583b57a32973905aebd904407');
INSERT INTO "pair_asks" VALUES('c2e0890166f592209e222728efef88f9','rejected','5fc607dadc58e089f61c8ca158fdcb9cc04082750751e44b59ed95c6e3b84d2b');
INSERT INTO "pair_asks" VALUES('d1aafd64c038c1bb19287cc505383a1c','asked-1','5bc68a701c6ead2647cfa309233da72dd227da947abb888f51e8a04b97354503');
INSERT INTO "pair_asks" VALUES('d1aafd64c038c1bb19287cc505383a1c','asked-2','7c8f0d8bcf41dbd4c460e91401ccff77ade347e11d83a8b63c83dfae3b423f4b');
INSERT INTO "pair_asks" VALUES('d1aafd64c038c1bb19287cc505383a1c','chosen','d990402dccfaa4464b29751cc2dcb2209539bf06148ad240ca6613f506438420');
INSERT INTO "pair_asks" VALUES('d1aafd64c038c1bb19287cc505383a1c','rejected','51ec081615430c0c95ecf8dfeef096eee4f498f70461172ae8e42108f0795f3d');
INSERT INTO "pair_asks" VALUES('d640dbc7fb89cd5d92d626556a8f586e','asked-1','aa14e3b590d59d8ff8e93413e8b2363de52bef36a4d83b8117065cc2016a1475');
INSERT INTO "pair_asks" VALUES('d69f4ab3dc96d2bea03e711e76153333','asked-1','9e30e122b033b6caabb0f6df5bef367014946368951d0221163e7cb40014b027');
INSERT INTO "pair_asks" VALUES('d69f4ab3dc96d2bea03e711e76153333','asked-2','084e5071e4b04ed2c97bdb175c3afba13922fdb5121c0f5f46be25fa2fc84704');
INSERT INTO "pair_asks" VALUES('d69f4ab3dc96d2bea03e711e76153333','chosen','6c477c775cff79726dd0ba3feffdb6fee3a3b5b4b17822d7acaa4a587a5fc3d0');
INSERT INTO "pair_asks" VALUES('d69f4ab3dc96d2bea03e711e76153333','rejected','5366a9b13ffe704bd1a7010a0a3e106b6d3ad4e5501feeac1a99e480b432a1e7');
INSERT INTO "pair_asks" VALUES('d75ba6fb84491a4943c7484e0cfac4de','asked-1','9b5f9a947cc8023fecfd0a88ae6568b7accaf680428872c16722531486c216f3');
INSERT INTO "pair_asks" VALUES('d75ba6fb84491a4943c7484e0cfac4de','chosen','cc6da200babcf4009775076e3587263f7f5e35b9c17b9d11226610a24ddf62c9');
INSERT INTO "pair_asks" VALUES('d75ba6fb84491a4943c7484e0cfac4de','rejected','d10281d80953b50643b067d23d32cad03b93e741fa2ed9c9693b614b07211203');
INSERT INTO "pair_asks" VALUES('d8a1163e66e89445d96167fbbb528d6c','chosen','ae3c65ba3b6949069f226bdaeff533f453a6f7c750a281a37e4e80c148450524');
INSERT INTO "pair_asks" VALUES('d8a1163e66e89445d96167fbbb528d6c','rejected','b5b38723da85006b583ed1ea6f2815fe5266384f8815efd6a26f934526afcc64');
INSERT INTO "pair_asks" VALUES('e6fb3bfa9c184b7a0b58658435094731','asked-1','7d7c1652b832656e62dc672a9f8536e87e015570842eaef49df5dea26e760664');
INSERT INTO "pair_asks" VALUES('facad6449e7f76107c76437c7a2bd1f8','asked-1','184ececd11e5bfbefb4e8ac3c776d6a3e9ff44951589211058ddf2e0dfb989a3');
INSERT INTO "pair_asks" VALUES('facad6449e7f76107c76437c7a2bd1f8','asked-2','b51bcbb26fdfaa88473be2e71252710c33ed11fff50d51ebbb9d129c2fbb747b');
INSERT INTO "pair_asks" VALUES('facad6449e7f76107c76437c7a2bd1f8','chosen','c07506d9e89cc8b291cb8873adf7610bb0a1c1ccd8d022c7a289f5437a44790b');
INSERT INTO "pair_asks" VALUES('facad6449e7f76107c76437c7a2bd1f8','rejected','035894e3dfe35152a3490b38bf674860532cd818b9208b4f94a73594339e8175');
CREATE TABLE pairs (                 -- id is the hash of task and recipe; position is the task's
    id TEXT PRIMARY KEY, position INTEGER NOT NULL, task_id TEXT NOT NULL, recipe TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'made', 'failed')),
    prompt TEXT, chosen TEXT, rejected TEXT, unparsed TEXT, chosen_finish_reason TEXT, rejected_finish_reason TEXT,
    chosen_model TEXT, rejected_model TEXT, reasoning TEXT, parse_status TEXT, parser_version INTEGER,
    levenshtein INTEGER, jaccard REAL, length_ratio REAL, tokeniser TEXT, metrics_version INTEGER,
    filter_set INTEGER, drop_reason TEXT, made_at TEXT, reasked INTEGER NOT NULL DEFAULT 0, missed TEXT
);
INSERT INTO "pairs" VALUES('9105fd3967aa7b303e62b353fca100be',1,'task-1','clair','made','5226b9355f19bdc8f11faa91fd4162628dcf60169683662a4358f0f68335b442','An answer to Question one, draft 5, now better','An answer to Question one, draft 5',NULL,'stop','stop','reviser-model','target-model','weak','ok',1,12,0.8,1.35294117647058831366e+00,'treebank',1,2,NULL,'2026-11-26T15:00:18.377+00:00',1,'length-ratio');
INSERT INTO "pairs" VALUES('b0de2df78c6d0077ad0273a7d5649ad6',2,'task-2','clair','made','622fb0a7b864dcedc1c9c5a5a49edbc2662ba60b56efcfdd48195cd4d29e0a20',NULL,'An answer to Question two, draft 1!!!!',NULL,'stop','stop','reviser-model','target-model',NULL,'no-solution-header',1,NULL,NULL,NULL,NULL,1,2,'no-solution-header','2026-11-26T15:00:18.377+00:00',1,'no-solution-header');
INSERT INTO "pairs" VALUES('d75ba6fb84491a4943c7484e0cfac4de',3,'task-3','clair','made','06603b77c71fe4a07fb8a5c04444419334bae55acc0bf01c0b39db4e69e45b17',NULL,'An answer to Question three, draft 1',NULL,'length','stop','reviser-model','target-model',NULL,'no-solution-header',1,NULL,NULL,NULL,NULL,1,2,'chosen-truncated','2026-11-26T15:00:18.378+00:00',1,'no-solution-header');
INSERT INTO "pairs" VALUES('5ccdac80aaed5c3f4754798cc5a1626a',4,'task-4','clair','made','89a2e6a0087e4d3af66b11adaed493fe1298fc7e2f295eee993cd9bb0915df4f','An answer to Question four, draft 3!An answer to Question four, draft 3!An answer to Question four, draft 3!','An answer to Question four, draft 3!',NULL,'stop','stop','reviser-model','target-model','weak','ok',1,72,1.0,3.0,'treebank',1,2,NULL,'2026-11-26T15:00:18.378+00:00',1,'length-ratio');
INSERT INTO "pairs" VALUES('bd22665474918256ccf546588c5eae2f',5,'task-5','clair','made','f96415882083e34702cb42ff5a1392e54771599fbb37a1e07e720fa5883f84b9',NULL,'An answer to Question five, draft 4!',NULL,'stop','stop','reviser-model','target-model',NULL,'unclosed-thinking',1,NULL,NULL,NULL,NULL,1,2,'unclosed-thinking','2026-11-26T15:00:18.378+00:00',1,'unclosed-thinking');
INSERT INTO "pairs" VALUES('59c66bbe9ee607feeb1ef69fd83cf476',1,'task-1','judge-on-policy','made','5226b9355f19bdc8f11faa91fd4162628dcf60169683662a4358f0f68335b442','An answer to Question one, draft 0!!!','An answer to Question one, draft 5',NULL,'stop','stop','target-model','target-model','longer. [2]','ok',1,4,0.7,1.08823529411764696739e+00,'treebank',1,2,NULL,'2026-11-26T15:00:18.405+00:00',0,NULL);
INSERT INTO "pairs" VALUES('d69f4ab3dc96d2bea03e711e76153333',2,'task-2','judge-on-policy','made','622fb0a7b864dcedc1c9c5a5a49edbc2662ba60b56efcfdd48195cd4d29e0a20',NULL,'An answer to Question two, draft 1!!!!',NULL,'stop','stop','target-model','target-model',NULL,'tie-between-orders',1,NULL,NULL,NULL,NULL,1,2,'tie-between-orders','2026-11-26T15:00:18.405+00:00',0,NULL);
INSERT INTO "pairs" VALUES('c29427bb95c6a39214842611853c1aa4',3,'task-3','judge-on-policy','made','06603b77c71fe4a07fb8a5c04444419334bae55acc0bf01c0b39db4e69e45b17',NULL,'An answer to Question three, draft 1',NULL,'stop','stop','target-model','target-model',NULL,'declared-tie',1,NULL,NULL,NULL,NULL,1,2,'declared-tie','2026-11-26T15:00:18.405+00:00',0,NULL);
INSERT INTO "pairs" VALUES('facad6449e7f76107c76437c7a2bd1f8',4,'task-4','judge-on-policy','made','89a2e6a0087e4d3af66b11adaed493fe1298fc7e2f295eee993cd9bb0915df4f',NULL,'An answer to Question four, draft 3!',NULL,'stop','stop','target-model','target-model',NULL,'tie-between-orders',1,NULL,NULL,NULL,NULL,1,2,'tie-between-orders','2026-11-26T15:00:18.405+00:00',0,NULL);
INSERT INTO "pairs" VALUES('d1aafd64c038c1bb19287cc505383a1c',5,'task-5','judge-on-policy','made','f96415882083e34702cb42ff5a1392e54771599fbb37a1e07e720fa5883f84b9','An answer to Question five, draft 2!!!','An answer to Question five, draft 4!',NULL,'stop','stop','target-model','target-model','longer. [2]','ok',1,3,0.8,1.05555555555555558022e+00,'treebank',1,2,NULL,'2026-11-26T15:00:18.406+00:00',0,NULL);
INSERT INTO "pairs" VALUES('8bed2b651a9ba81002fcc176cf4bc32b',1,'task-1','judge-off-policy','made','5226b9355f19bdc8f11faa91fd4162628dcf60169683662a4358f0f68335b442','a little longer 1','short 1',NULL,'recorded','recorded','b','a','longer. [2]','ok',1,14,0.2,2.4285714285714283811e+00,'treebank',1,2,NULL,'2026-11-26T15:00:18.313+00:00',0,NULL);
INSERT INTO "pairs" VALUES('d640dbc7fb89cd5d92d626556a8f586e',2,'task-2','judge-off-policy','made','622fb0a7b864dcedc1c9c5a5a49edbc2662ba60b56efcfdd48195cd4d29e0a20','a little longer 2','short 2',NULL,'recorded','recorded','b','a',NULL,'ok',1,14,0.2,2.4285714285714283811e+00,'treebank',1,2,NULL,'2026-11-26T15:00:18.314+00:00',0,NULL);
INSERT INTO "pairs" VALUES('84d222b30ad03a35cc257b97236eaa91',3,'task-3','judge-off-policy','made','06603b77c71fe4a07fb8a5c04444419334bae55acc0bf01c0b39db4e69e45b17',NULL,'a little longer 3','short 3','recorded','recorded','a','b',NULL,'declared-tie',1,NULL,NULL,NULL,NULL,1,2,'declared-tie','2026-11-26T15:00:18.314+00:00',0,NULL);
INSERT INTO "pairs" VALUES('e6fb3bfa9c184b7a0b58658435094731',4,'task-4','judge-off-policy','made','89a2e6a0087e4d3af66b11adaed493fe1298fc7e2f295eee993cd9bb0915df4f',NULL,'a little longer 4','short 4','recorded','recorded','a','b',NULL,'unclosed-thinking',1,NULL,NULL,NULL,NULL,1,2,'unclosed-thinking','2026-11-26T15:00:18.314+00:00',0,NULL);
INSERT INTO "pairs" VALUES('39a588ea6b6cb0acba7dd9ef50ede96c',5,'task-5','judge-off-policy','made','f96415882083e34702cb42ff5a1392e54771599fbb37a1e07e720fa5883f84b9','a little longer 5','short 5',NULL,'recorded','recorded','b','a','longer. [1]','ok',1,14,0.2,2.4285714285714283811e+00,'treebank',1,2,NULL,'2026-11-26T15:00:18.314+00:00',0,NULL);
INSERT INTO "pairs" VALUES('c2e0890166f592209e222728efef88f9',1,'task-1','stronger-preferred','made','5226b9355f19bdc8f11faa91fd4162628dcf60169683662a4358f0f68335b442','There are many things to say of Question one','An answer to Question one, draft 5',NULL,'stop','stop','stronger-model','target-model',NULL,'ok',NULL,34,2.14285714285714273819e-01,1.29411764705882359471e+00,'treebank',1,2,NULL,'2026-11-26T15:00:18.321+00:00',0,NULL);
INSERT INTO "pairs" VALUES('c21804f37e1ea6055a8535894ac7b61a',2,'task-2','stronger-preferred','made','622fb0a7b864dcedc1c9c5a5a49edbc2662ba60b56efcfdd48195cd4d29e0a20','There are many things to say of Question two','An answer to Question two, draft 1!!!!',NULL,'stop','stop','stronger-model','target-model',NULL,'ok',NULL,36,0.2,1.1578947368421053099e+00,'treebank',1,2,NULL,'2026-11-26T15:00:18.322+00:00',0,NULL);
INSERT INTO "pairs" VALUES('3e95a9ab1d61ff46e6754de9a468ed3b',3,'task-3','stronger-preferred','made','06603b77c71fe4a07fb8a5c04444419334bae55acc0bf01c0b39db4e69e45b17','There are many things to say of Question three','An answer to Question three, draft 1',NULL,'stop','stop','stronger-model','target-model',NULL,'ok',NULL,34,2.14285714285714273819e-01,1.27777777777777767909e+00,'treebank',1,2,NULL,'2026-11-26T15:00:18.322+00:00',0,NULL);
INSERT INTO "pairs" VALUES('8951f7017a1ad33a588678e7d15bdd61',4,'task-4','stronger-preferred','made','89a2e6a0087e4d3af66b11adaed493fe1298fc7e2f295eee993cd9bb0915df4f','There are many things to say of Question four','An answer to Question four, draft 3!',NULL,'stop','stop','stronger-model','target-model',NULL,'ok',NULL,35,0.2,1.25,'treebank',1,2,NULL,'2026-11-26T15:00:18.322+00:00',0,NULL);
INSERT INTO "pairs" VALUES('3d9f2fed1b4bb1466d19e7b7503305ae',5,'task-5','stronger-preferred','failed',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL);
INSERT INTO "pairs" VALUES('995a94c35faffed3397f29a3ea20da16',1,'task-1','worsened','made','5226b9355f19bdc8f11faa91fd4162628dcf60169683662a4358f0f68335b442','There are many things to say of Question one','There are some things to say of Question one',NULL,'stop','stop','stronger-model','reviser-model',NULL,'ok',NULL,4,0.8,1.0,'treebank',1,2,NULL,'2026-11-26T15:00:18.349+00:00',0,NULL);
INSERT INTO "pairs" VALUES('d8a1163e66e89445d96167fbbb528d6c',2,'task-2','worsened','made','622fb0a7b864dcedc1c9c5a5a49edbc2662ba60b56efcfdd48195cd4d29e0a20','There are many things to say of Question two','There are some things to say of Question two',NULL,'stop','stop','stronger-model','reviser-model',NULL,'ok',NULL,4,0.8,1.0,'treebank',1,2,NULL,'2026-11-26T15:00:18.349+00:00',0,NULL);
INSERT INTO "pairs" VALUES('9051b932c1f17469aa4d4faafe7d71b9',3,'task-3','worsened','made','06603b77c71fe4a07fb8a5c04444419334bae55acc0bf01c0b39db4e69e45b17','There are many things to say of Question three','There are some things to say of Question three',NULL,'stop','stop','stronger-model','reviser-model',NULL,'ok',NULL,4,0.8,1.0,'treebank',1,2,NULL,'2026-11-26T15:00:18.350+00:00',0,NULL);
INSERT INTO "pairs" VALUES('226bb1403112ac9f9ce54e9401a18cd7',4,'task-4','worsened','made','89a2e6a0087e4d3af66b11adaed493fe1298fc7e2f295eee993cd9bb0915df4f','There are many things to say of Question four','There are some things to say of Question four',NULL,'stop','stop','stronger-model','reviser-model',NULL,'ok',NULL,4,0.8,1.0,'treebank',1,2,NULL,'2026-11-26T15:00:18.350+00:00',0,NULL);
INSERT INTO "pairs" VALUES('7861230d21c96dc54be5bf81944f6fb6',5,'task-5','worsened','failed',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL);
CREATE TABLE plans (                 -- what the asks of a recipe are made of; a change of it is a change of its pairs
    recipe TEXT PRIMARY KEY, plan TEXT NOT NULL, revises INTEGER NOT NULL, created_at TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "plans" VALUES('clair','{"models.reviser":{"max_tokens":100,"model":"reviser-model","revision":null,"seed":0,"system":null,"temperature":0.7},"models.target":{"max_tokens":100,"model":"target-model","revision":null,"seed":0,"system":null,"temperature":0.7},"template of the reviser":"90cbc6aba476ff9343599ec66a17e55eda4dfe512bdd840fd07bf224a2d743da"}',1,'2026-11-26T15:00:18.136+00:00');
INSERT INTO "plans" VALUES('judge-off-policy','{"models.judge":{"max_tokens":100,"model":"judge-model","revision":null,"seed":0,"system":null,"temperature":0},"seed":0,"tasks":{"answers":["a","b"]},"template of the judge":"7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad"}',0,'2026-11-26T15:00:18.168+00:00');
INSERT INTO "plans" VALUES('judge-on-policy','{"models.judge":{"max_tokens":100,"model":"judge-model","revision":null,"seed":0,"system":null,"temperature":0},"models.target":{"max_tokens":100,"model":"target-model","revision":null,"seed":0,"system":null,"temperature":0.7},"recipes.judge-on-policy.order":"both","seed":0,"template of the judge":"7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad"}',0,'2026-11-26T15:00:18.152+00:00');
INSERT INTO "plans" VALUES('stronger-preferred','{"models.stronger":{"max_tokens":100,"model":"stronger-model","revision":null,"seed":0,"system":null,"temperature":0.7},"models.target":{"max_tokens":100,"model":"target-model","revision":null,"seed":0,"system":null,"temperature":0.7}}',0,'2026-11-26T15:00:18.180+00:00');
INSERT INTO "plans" VALUES('worsened','{"models.reviser":{"max_tokens":100,"model":"reviser-model","revision":null,"seed":0,"system":null,"temperature":0.7},"models.stronger":{"max_tokens":100,"model":"stronger-model","revision":null,"seed":0,"system":null,"temperature":0.7},"template of the reviser":"d4a359f982dad62fba7febc56dfd035c6d3c1dcccb82a8e2ea859651340d064b"}',0,'2026-11-26T15:00:18.192+00:00');
CREATE TABLE spending (              -- calls that may cost something, in 1e-12 US dollars; cost is null while it is not known
    id INTEGER PRIMARY KEY, role TEXT NOT NULL, most INTEGER, cost INTEGER, begun_at TEXT NOT NULL
);
INSERT INTO "spending" VALUES(1,'reviser',23400000000,1800000000,'2026-11-26T15:00:18.320+00:00');
INSERT INTO "spending" VALUES(2,'reviser',20660000000,250000000,'2026-11-26T15:00:18.320+00:00');
INSERT INTO "spending" VALUES(3,'reviser',23440000000,1080000000,'2026-11-26T15:00:18.320+00:00');
INSERT INTO "spending" VALUES(4,'reviser',20660000000,250000000,'2026-11-26T15:00:18.320+00:00');
INSERT INTO "spending" VALUES(5,'reviser',23450000000,250000000,'2026-11-26T15:00:18.320+00:00');
INSERT INTO "spending" VALUES(6,'reviser',20700000000,250000000,'2026-11-26T15:00:18.320+00:00');
INSERT INTO "spending" VALUES(7,'reviser',23440000000,1800000000,'2026-11-26T15:00:18.320+00:00');
INSERT INTO "spending" VALUES(8,'reviser',20680000000,250000000,'2026-11-26T15:00:18.320+00:00');
INSERT INTO "spending" VALUES(9,'reviser',23430000000,250000000,'2026-11-26T15:00:18.320+00:00');
INSERT INTO "spending" VALUES(10,'reviser',23410000000,1800000000,'2026-11-26T15:00:18.356+00:00');
INSERT INTO "spending" VALUES(11,'reviser',23450000000,1080000000,'2026-11-26T15:00:18.356+00:00');
INSERT INTO "spending" VALUES(12,'reviser',23440000000,250000000,'2026-11-26T15:00:18.356+00:00');
INSERT INTO "spending" VALUES(13,'reviser',23440000000,1800000000,'2026-11-26T15:00:18.356+00:00');
INSERT INTO "spending" VALUES(14,'reviser',23440000000,250000000,'2026-11-26T15:00:18.356+00:00');
CREATE TABLE tasks (                 -- position counts from 1 in the order of the source
    position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, messages TEXT NOT NULL UNIQUE,
    answers BLOB                     -- what the source brought along, as JSON, zlib
);
INSERT INTO "tasks" VALUES(1,'task-1','5226b9355f19bdc8f11faa91fd4162628dcf60169683662a4358f0f68335b442',X'78018B8E562ACEC82F2A513054D251504A041279A53939B13A0AD14A890A3999252539A90A39F979E9A9451015493015B100FE871176');
INSERT INTO "tasks" VALUES(2,'task-2','622fb0a7b864dcedc1c9c5a5a49edbc2662ba60b56efcfdd48195cd4d29e0a20',X'78018B8E562ACEC82F2A513052D251504A041279A53939B13A0AD14A890A3999252539A90A39F979E9A9451015493015B100FEC71178');
INSERT INTO "tasks" VALUES(3,'task-3','06603b77c71fe4a07fb8a5c04444419334bae55acc0bf01c0b39db4e69e45b17',X'78018B8E562ACEC82F2A513056D251504A041279A53939B13A0AD14A890A3999252539A90A39F979E9A9451015493015B100FF07117A');
INSERT INTO "tasks" VALUES(4,'task-4','89a2e6a0087e4d3af66b11adaed493fe1298fc7e2f295eee993cd9bb0915df4f',X'78018B8E562ACEC82F2A513051D251504A041279A53939B13A0AD14A890A3999252539A90A39F979E9A9451015493015B100FF47117C');
INSERT INTO "tasks" VALUES(5,'task-5','f96415882083e34702cb42ff5a1392e54771599fbb37a1e07e720fa5883f84b9',X'78018B8E562ACEC82F2A513055D251504A041279A53939B13A0AD14A890A3999252539A90A39F979E9A9451015493015B100FF87117E');
CREATE TABLE templates (
    hash TEXT PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "templates" VALUES('7385c8139ab500657b911d7a7fd9c4fd476fd4adae59ab74c0e65b5e0e59b7ad','judge','You are a teacher and your task is to pick the best student''s answer. The best answer is the most clear, most correct, and most engaging answer. I will give you a {task} and {student_solution_1} and {student_solution_2}. Your final answer must contain [1] if {student_solution_1} was best, else [2].

{task}: {{task}}

{student_solution_1}: {{student_solution_1}}

{student_solution_2}: {{student_solution_2}}

-----------------

Let''s first think step by step with a {teacher_reasoning} to decide which solution is better, and then answer [1] or [2].

');
INSERT INTO "templates" VALUES('90cbc6aba476ff9343599ec66a17e55eda4dfe512bdd840fd07bf224a2d743da','revise-length-neutral','You are a teacher and your task is to minimally improve a student''s answer. I will give you a {task} and a {student_solution}. Your job is to revise the {student_solution} such that it is clearer, more correct, and more engaging. Copy all non-corrected parts of the student''s answer. The {corrected_student_solution} must be about as long as the {student_solution}. For everything that you add, take something less useful out. Do not allude to the {corrected_student_solution} being a revision or a correction in your final solution.

{task}: {{task}}

{student_solution}: {{student_solution}}

-----------------

Let''s first think step by step with a {teacher_reasoning} to decide how to improve the {student_solution}, then give the {corrected_student_solution}. Mention the {teacher_reasoning} and {corrected_student_solution} identifiers to structure your answer.

');
INSERT INTO "templates" VALUES('d4a359f982dad62fba7febc56dfd035c6d3c1dcccb82a8e2ea859651340d064b','worsen','You are a teacher who prepares an exercise in which students learn to tell a good answer from a slightly worse one. I will give you a {task} and a {good_solution}. Your job is to change the {good_solution} such that it is less clear, less correct, or less engaging, in the way in which a student could have written it. Change as little as possible: copy all other parts of the {good_solution} word for word, and keep its length and form. Do not allude to the change.

{task}: {{task}}

{good_solution}: {{good_solution}}

-----------------

Answer with the changed solution only.

');
CREATE TABLE votes (                 -- a person's opinion of a pair
    pair_id TEXT NOT NULL, voter TEXT NOT NULL, vote TEXT NOT NULL, note TEXT, created_at TEXT NOT NULL,
    PRIMARY KEY (pair_id, voter)
) WITHOUT ROWID;
CREATE INDEX attempts_by_key ON attempts (key);
CREATE INDEX judgements_by_recipe ON judgements (recipe, status);
CREATE INDEX pairs_by_status ON pairs (recipe, status, position);
CREATE INDEX pairs_pending ON pairs (position) WHERE status = 'pending';
COMMIT;
PRAGMA user_version = 2;
